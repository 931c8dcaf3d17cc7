"""The batch APIs of vendors, and the conversation with them."""
