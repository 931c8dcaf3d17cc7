"""Where a request marks what its provider keeps of a prompt, so that the next request reads it for a tenth."""
