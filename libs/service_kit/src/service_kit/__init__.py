"""What every Connected Inbox service needs and none should see twice."""
