//! Pictures and pages that show where a part looks wrong.
