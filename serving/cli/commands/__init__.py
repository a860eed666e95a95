"""Click commands, grouped by subject: data, models, lists, CRM, web page."""
