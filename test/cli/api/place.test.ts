import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { placeOf, refuseOpenElsewhere } from '../../../src/cli/api/place.ts';

const ARGS = { api: undefined, apiOpen: true, apiCert: undefined, apiKey: undefined };

describe('where the API is served', () => {
  test('is an address and a port', () => {
    assert.deepEqual(placeOf('127.0.0.1:7070'), { address: '127.0.0.1', port: 7070 });
    assert.deepEqual(placeOf('[::1]:0'), { address: '::1', port: 0 });
    assert.deepEqual(placeOf('api.internal:80'), { address: 'api.internal', port: 80 });
    for (const wrong of ['7070', '127.0.0.1', ':7070', '::1:7070', '127.0.0.1:70700', 'a:b', ''])
      assert.throws(() => placeOf(wrong), /is not ADDRESS:PORT/, wrong);
  });

  test('asks for a token wherever others reach it', () => {
    for (const own of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) refuseOpenElsewhere(ARGS, own);
    for (const other of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.com', 'localhost.example.com'])
      assert.throws(() => refuseOpenElsewhere(ARGS, other), /--api-open is for a loopback address/, other);
    refuseOpenElsewhere({ ...ARGS, apiOpen: false }, '0.0.0.0');
  });
});
