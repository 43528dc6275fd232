"""Hosted gateways: closed routing services, rebuilt as providers that make attempts of their own."""
