import { describe, expect, it } from 'vitest';
import { UNKNOWN_WORKLOAD } from '../../../upstream/workload-metadata.ts';
import { decodeMetadata, encodeMetadata } from './metadata-header.ts';
import { encodeStruct } from './struct.ts';

/**
 * As google.protobuf for Python serializes it: what is read, values of every other type, and a list in a struct in a struct.
 */
const FROM_PROTOBUF =
  'Ch4KDkFQUF9DT05UQUlORVJTEgwaCmFwcCxuw6RoZXIKFAoKQ0xVU1RFUl9JRBIGGgRlYXN0CqUBCgZMQUJFTFMSmgEqlwEKDgoDYXBwEgcaBWZyb250' +
  'ChsKEXBvZC10ZW1wbGF0ZS1oYXNoEgYaBDVkOGYKKgofc2VydmljZS5pc3Rpby5pby9jYW5vbmljYWwtbmFtZRIHGgVmcm9udAorCiNzZXJ2aWNlLmlz' +
  'dGlvLmlvL2Nhbm9uaWNhbC1yZXZpc2lvbhIEGgJ2MQoPCgd2ZXJzaW9uEgQaAnYxChoKB01FU0hfSUQSDxoNY2x1c3Rlci5sb2NhbAoTCglOQU1FU1BB' +
  'Q0USBhoEc2hvcAoXCgROQU1FEg8aDWZyb250LXYxLTVkOGYKSQoFT1dORVISQBo+a3ViZXJuZXRlczovL2FwaXMvYXBwcy92MS9uYW1lc3BhY2VzL3No' +
  'b3AvZGVwbG95bWVudHMvZnJvbnQtdjEKWgoMUFJPWFlfQ09ORklHEkoqSAoYCgtjb25jdXJyZW5jeRIJEQAAAAAAAABACh0KBm5lc3RlZBITKhEKDwoE' +
  'ZGVlcBIHMgUKAxoBeAoNCgd0cmFjaW5nEgIIAAobCg1XT1JLTE9BRF9OQU1FEgoaCGZyb250LXYx';

const FRONT = {
  ...UNKNOWN_WORKLOAD,
  name: 'front-v1-5d8f',
  namespace: 'shop',
  workload: 'front-v1',
  cluster: 'east',
  service: 'front',
  revision: 'v1',
  app: 'front',
  version: 'v1',
  type: 'deployment',
};

const header = (fields: Parameters<typeof encodeStruct>[0]) => btoa(String.fromCharCode(...encodeStruct(fields)));
const bytes = (...values: number[]) => btoa(String.fromCharCode(...values));

describe('x-envoy-peer-metadata', () => {
  it('is read as protobuf writes it, with padding and without', () => {
    expect(decodeMetadata(FROM_PROTOBUF)).toEqual(FRONT);
    expect(decodeMetadata(encodeMetadata(FRONT).replace(/=+$/, ''))).toEqual(FRONT);
  });

  it('is written as it is read: only what is known', () => {
    const here = { ...FRONT, region: 'eu', availabilityZone: 'eu-1' };
    expect(decodeMetadata(encodeMetadata(here))).toEqual(here);
    expect(decodeMetadata(encodeMetadata({ ...FRONT, type: '', cluster: '' }))).toEqual({
      ...FRONT,
      type: '',
      cluster: '',
    });
    expect(encodeMetadata(UNKNOWN_WORKLOAD)).toBe(header({ LABELS: {} }));
  });

  it("takes Kubernetes' own labels before the short ones", () => {
    const labels = { app: 'a', 'app.kubernetes.io/name': 'b', version: '1', 'app.kubernetes.io/version': '2' };
    expect(decodeMetadata(header({ LABELS: labels }))).toMatchObject({ app: 'b', version: '2' });
  });

  it('knows the type of an owner that owns the workload', () => {
    const of = (owner: string) => decodeMetadata(header({ OWNER: owner, WORKLOAD_NAME: 'w' }))?.type;
    expect(of('kubernetes://apis/apps/v1/namespaces/n/cronjobs/w')).toBe('cronjob');
    expect(of('kubernetes://apis/apps/v1/namespaces/n/cronjobs/x')).toBe('');
    expect(of('kubernetes://apis/apps/v1/namespaces/n/things/w')).toBe('');
  });

  it.each([
    ['no base64', '!!!'],
    ['too long', 'A'.repeat(8193)],
    ['no message', btoa('hello, this is text')],
    ['cut off', FROM_PROTOBUF.slice(0, 100)],
    ['a group', bytes(0x0b, 0x0c)],
    ['a varint without end', bytes(...Array(11).fill(0x88))],
    ['a length beyond the message', bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)],
    [
      'text that is not UTF-8',
      bytes(0x0a, 0x0c, 0x0a, 0x04, 0x4e, 0x41, 0x4d, 0x45, 0x12, 0x04, 0x1a, 0x02, 0xff, 0xfe),
    ],
    ['too many entries', header(Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`k${i}`, ''])))],
    ['a control character', header({ WORKLOAD_NAME: 'a\nb' })],
    ['a name that no metric can hold', header({ LABELS: { app: 'x'.repeat(254) } })],
  ])('is nothing where it holds %s', (_, value) => expect(decodeMetadata(value)).toBeUndefined());

  it('random bytes are read or refused, in either case quickly', () => {
    let seed = 1;
    const next = () => (seed = (seed * 48271) % 2147483647) & 0xff;
    for (let i = 0; i < 5000; i++) {
      const random = Array.from({ length: next() }, next);
      // Half of them begin as a Struct does.
      if (i % 2 === 0) random.unshift(0x0a, random.length & 0x7f);
      expect(() => decodeMetadata(bytes(...random))).not.toThrow();
    }
  });
});
