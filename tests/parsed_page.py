"""The elements and texts of an HTML page, parsed as a browser would."""

from html.parser import HTMLParser


class ParsedPage(HTMLParser):
    """Elements with their attributes, and texts, in the order of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def links(self) -> list[str | None]:
        """The URLs that the page names, in order."""
        names = ("href", "src", "action")
        return [attributes[n] for _, attributes in self.elements for n in names if n in attributes]

    @property
    def event_handlers(self) -> list[str]:
        """The attributes that run a script, such as ``onload``."""
        return [name for _, attributes in self.elements for name in attributes if name[:2] == "on"]
