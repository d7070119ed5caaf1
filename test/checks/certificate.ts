/**
 * A self-signed certificate and key for the tests' https servers (valid for `gantryd.test` only, trusted
 * by nobody, protecting nothing). Made once with `openssl req -x509 -newkey ec … -days 36500`.
 */
export const TEST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBnzCCAUSgAwIBAgIUafp3cM3E5VoDbvBkoe7FNdNtlm8wCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMZ2FudHJ5ZCB0ZXN0MCAXDTI2MTEyMTA1MTMyMFoYDzIxMjYx
MDI4MDUxMzIwWjAXMRUwEwYDVQQDDAxnYW50cnlkIHRlc3QwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAQF753cd1TaMA/E0wlFLz9XVHrD5rgtKJE2MLoTFLccQBJB
D7CqPVnoYbVp/tSFoGy+Qa9tz8cTwWVrF0I/ooEso2wwajAdBgNVHQ4EFgQUjDJ/
pYXs+J4fwlFv9IVpWmK0ugEwHwYDVR0jBBgwFoAUjDJ/pYXs+J4fwlFv9IVpWmK0
ugEwDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggxnYW50cnlkLnRlc3QwCgYI
KoZIzj0EAwIDSQAwRgIhAOwdhV1UJhbYQwSOukYdqQtqena9p/aCRuNU9aDnYKa0
AiEAmjK1UzqCrO3rGyyUpbtk2KSAe7WqxIYT+5Pc83N0T4U=
-----END CERTIFICATE-----`;

export const TEST_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/KmsN1cb5NjDYjtm
c6R1bdNvbufIaI7pPk4hqlRzzWqhRANCAAQF753cd1TaMA/E0wlFLz9XVHrD5rgt
KJE2MLoTFLccQBJBD7CqPVnoYbVp/tSFoGy+Qa9tz8cTwWVrF0I/ooEs
-----END PRIVATE KEY-----`;
