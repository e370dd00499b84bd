"""What runc is given: the bundle's specification and its root file system."""
