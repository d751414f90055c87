"""The signed PDF report: typesetting, the document, its signature and the check of both."""
