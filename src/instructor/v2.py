"""The inside of 1.16 and later, which isn't here. Importing it says what to use."""

raise ModuleNotFoundError(
    "instructor.v2 is the inside of another implementation of instructor, so it isn't here. Use the names of the "
    "package itself: from_provider, Mode, Provider, Partial, instructor.exceptions; register_provider adds a vendor. "
    "docs/migrating.md has the whole list.",
    name="instructor.v2",
)
