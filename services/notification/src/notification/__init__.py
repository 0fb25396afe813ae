"""Who was told? Watcher e-mails and report e-mails, once each, through SMTP."""
