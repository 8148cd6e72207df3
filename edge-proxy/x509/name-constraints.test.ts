import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Authority, intermediate, leaf, pem, rootAuthority, x509 } from '../../tests/mtls/certificates.ts';
import { pemCertificates, readRoots } from './trusted-path.ts';
import { verifyPeer } from './verify-peer.ts';

const node = (tag: number, ...parts: (number[] | string)[]): number[] => {
  const content = parts.flatMap((part) => (typeof part === 'string' ? [...new TextEncoder().encode(part)] : part));
  return [tag, content.length, ...content];
};
const DNS = 0x82;
const URI = 0x86;
const EMAIL = 0x81;
const IP = 0x87;
const DIRECTORY = 0xa4;
type Base = [tag: number, value: string | number[]];
const trees = (bases: Base[]) => bases.map(([tag, value]) => node(0x30, node(tag, value)));
/** NameConstraints of RFC 5280. */
const constraints = (permitted: Base[], excluded: Base[], critical = false) =>
  new x509.Extension(
    '2.5.29.30',
    critical,
    Uint8Array.from(
      node(
        0x30,
        permitted.length > 0 ? node(0xa0, ...trees(permitted)) : [],
        excluded.length > 0 ? node(0xa1, ...trees(excluded)) : [],
      ),
    ),
  );
const san = (names: x509.JsonGeneralNames) => new x509.SubjectAlternativeNameExtension(names, true);

describe('name constraints', () => {
  let root: Authority;
  beforeAll(async () => {
    root = await rootAuthority('root');
  });
  const judge = async (extension: x509.Extension, names: x509.JsonGeneralNames) => {
    const authority = await intermediate(root, 'constrained', undefined, {}, [extension]);
    const made = await leaf(authority, { uri: 'spiffe://unused', names: san(names) });
    const chain = pemCertificates(made.cert).map((text) => new Uint8Array(new X509Certificate(text).raw));
    return verifyPeer(chain, readRoots(pem(root)), 'server', Date.now());
  };
  const outside = /issuer may not speak for/;
  const spiffe = (domain: string): x509.JsonGeneralNames => [{ type: 'url', value: `spiffe://${domain}/ns/a/sa/b` }];

  it.each([false, true])('permits what is inside, critical: %s', async (critical) => {
    const rule = constraints(
      [
        [URI, 'shop.example'],
        [DNS, 'shop.example'],
      ],
      [],
      critical,
    );
    await expect(judge(rule, spiffe('shop.example'))).resolves.toBeDefined();
    await expect(judge(rule, spiffe('bank.example'))).rejects.toThrow(outside);
    // For URIs a name without a leading dot is that host alone.
    await expect(judge(rule, spiffe('a.shop.example'))).rejects.toThrow(outside);
    await expect(judge(rule, [{ type: 'dns', value: 'a.shop.example' }])).resolves.toBeDefined();
    await expect(judge(rule, [{ type: 'dns', value: 'ashop.example' }])).rejects.toThrow(outside);
    // Every name must be inside, not some.
    await expect(judge(rule, [...spiffe('shop.example'), { type: 'dns', value: 'bank.example' }])).rejects.toThrow(
      outside,
    );
    // A kind of name that is not constrained is free.
    await expect(judge(rule, [{ type: 'ip', value: '10.0.0.1' }])).resolves.toBeDefined();
  });

  it('excludes', async () => {
    const rule = constraints(
      [],
      [
        [URI, '.bank.example'],
        [EMAIL, 'bank.example'],
        [IP, [10, 0, 0, 0, 255, 0, 0, 0]],
      ],
    );
    await expect(judge(rule, spiffe('shop.example'))).resolves.toBeDefined();
    await expect(judge(rule, spiffe('a.bank.example'))).rejects.toThrow(outside);
    await expect(judge(rule, [{ type: 'email', value: 'eve@bank.example' }])).rejects.toThrow(outside);
    await expect(judge(rule, [{ type: 'email', value: 'eve@shop.example' }])).resolves.toBeDefined();
    await expect(judge(rule, [{ type: 'ip', value: '10.1.2.3' }])).rejects.toThrow(outside);
    await expect(judge(rule, [{ type: 'ip', value: '11.1.2.3' }])).resolves.toBeDefined();
  });

  it('trusts no CA whose constraints it cannot judge', async () => {
    await expect(judge(constraints([[DIRECTORY, [0x30, 0]]], []), spiffe('shop.example'))).rejects.toThrow(
      /constraint of a kind that is not supported/,
    );
  });
});
