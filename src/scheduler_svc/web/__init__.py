"""The dashboard: pages made on the server, from templates that escape what they show."""
