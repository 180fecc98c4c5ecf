"""Signing in and staying signed in: who the proxy is to the service.

`flow` decides, `driver` performs, `oidc_boto` talks, `store` keeps, `tokens` renews. Importing this package loads
none of them: boto3 is paid for only by the process that refreshes.
"""
