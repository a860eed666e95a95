"""Fault injection: killed senders, failing servers, full disks and wrong clocks."""
