import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import { endpointsOf } from '../../src/cluster/options.ts';
import { isGantryError } from '../../src/errors.ts';

const PEM = Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');

describe('The address of an etcd member', () => {
  test('is a host, with or without scheme and port', () => {
    const meant: Record<string, string> = {
      etcd: 'http://etcd:2379',
      'etcd:1234': 'http://etcd:1234',
      'etcd:80': 'http://etcd:80',
      '10.0.0.1': 'http://10.0.0.1:2379',
      'http://10.0.0.1:2380/': 'http://10.0.0.1:2380',
      'http://etcd:80': 'http://etcd:80',
      'https://etcd.example.org': 'https://etcd.example.org:2379',
      'https://etcd:443/': 'https://etcd:443',
      '[::1]:2379': 'http://[::1]:2379',
      'https://[fd00::2]': 'https://[fd00::2]:2379',
    };
    for (const [text, url] of Object.entries(meant)) {
      const [endpoint] = endpointsOf({ endpoints: [text] });
      assert.equal(endpoint?.url, url);
      assert.equal(endpoint?.tls, url.startsWith('https'));
    }
  });

  test('means TLS when a certificate is given', () => {
    for (const pems of [{ ca: PEM }, { cert: PEM, key: PEM }])
      assert.equal(endpointsOf({ endpoints: ['etcd'], ...pems })[0]?.url, 'https://etcd:2379');
    refused({ endpoints: ['http://etcd'], ca: PEM }, /without TLS, but a certificate is given/);
  });

  test('that is none is told as it was written', () => {
    for (const text of [
      '',
      'ftp://etcd',
      'etcd:port',
      'http://',
      'etcd/v3',
      'etcd?x',
      'a b',
      'me@etcd',
      'etcd:99999',
    ])
      refused({ endpoints: ['fine', text] }, new RegExp(`^${text.replace('?', '\\?')} is not the address`));
    refused({ endpoints: [] }, /no address/);
  });
});

describe('A store', () => {
  test('is not opened with half of a pair', () => {
    refused({ endpoints: ['etcd'], user: 'a' }, /needs a password/);
    refused({ endpoints: ['etcd'], password: 'a' }, /a password its user/);
    refused({ endpoints: ['etcd'], cert: PEM }, /needs its key/);
    refused({ endpoints: ['etcd'], key: PEM }, /the key its certificate/);
  });

  test('is not opened with what is no certificate or key', () => {
    refused(
      { endpoints: ['etcd'], cert: PEM, key: Buffer.from('nothing') },
      /certificate or key for etcd cannot be used/,
    );
    refused({ endpoints: ['etcd'], ca: Buffer.from('-----BEGIN CERTIFICATE-----\nxx') }, /cannot be used/);
  });
});

function refused(options: Parameters<typeof openStore>[0], why: RegExp): void {
  assert.throws(
    () => openStore(options),
    (error) => {
      assert.ok(isGantryError(error, 'usage'), String(error));
      assert.match(error.message, why);
      return true;
    },
    JSON.stringify(options.endpoints),
  );
}
