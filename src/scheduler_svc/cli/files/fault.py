"""What is wrong with a file, and where: what people get to read."""


class BadFile(Exception):
    """A file that can not be meant; the text names it, with line and column where it has them."""

    def __init__(self, path: str, why: str, line: int | None = None, column: int = 0) -> None:
        at = "" if line is None else f":{line}:{column}" if column else f":{line}"
        super().__init__(f"{path}{at}: {why}")
