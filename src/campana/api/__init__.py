"""The contract as data: shapes and routes generated from the published service models, and what they rest on."""
