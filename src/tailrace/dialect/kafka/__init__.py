"""What everything that speaks with Kafka shares: addresses, security, clients, the meaning of its errors."""
