import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Authority,
  intermediate,
  leaf,
  pem,
  reissued,
  rootAuthority,
  x509,
} from '../../tests/mtls/certificates.ts';
import { pemCertificates, readRoots, type TrustedRoots } from './trusted-path.ts';
import { verifyPeer } from './verify-peer.ts';

const URI = 'spiffe://cluster.local/ns/shop/sa/reviews';
const HOUR_MS = 3_600_000;
const der = (chain: string) => pemCertificates(chain).map((text) => new Uint8Array(new X509Certificate(text).raw));
const judge = (chain: string, roots: TrustedRoots, role: 'client' | 'server' = 'client', now = Date.now()) =>
  verifyPeer(der(chain), roots, role, now);

async function below(root: Authority, levels: number): Promise<Authority> {
  let authority = root;
  for (let i = 0; i < levels; i++) authority = await intermediate(authority, `level ${i}`);
  return authority;
}

describe('verifyPeer', () => {
  let root: Authority;
  let roots: TrustedRoots;
  beforeAll(async () => {
    root = await rootAuthority('root');
    roots = readRoots(pem(root));
  });

  it('gives the names of a leaf below a root, or below intermediates in any order', async () => {
    const direct = await leaf(root, { uri: URI });
    expect(judge(direct.cert, roots)).toMatchObject({ uris: [URI], dns: [], ips: [], subject: 'CN=workload' });
    const deep = await leaf(await below(root, 3), { uri: URI });
    expect(judge(deep.cert, roots).uris).toEqual([URI]);
    const [first, ...rest] = pemCertificates(deep.cert);
    expect(judge([first, ...rest.reverse()].join('\n'), roots).uris).toEqual([URI]);
    // The root itself may be sent along.
    expect(judge(`${direct.cert}\n${pem(root)}`, roots).uris).toEqual([URI]);
  });

  it('refuses a chain with a certificate missing, or none at all', async () => {
    const deep = await leaf(await below(root, 2), { uri: URI });
    const [own, , upper] = pemCertificates(deep.cert);
    expect(() => judge(`${own}\n${upper}`, roots)).toThrow('does not chain to a trusted root');
    expect(() => verifyPeer([], roots, 'client', Date.now())).toThrow('sent no certificate');
  });

  it('refuses a leaf that is not the first', async () => {
    const deep = await leaf(await below(root, 1), { uri: URI });
    expect(() => judge(pemCertificates(deep.cert).reverse().join('\n'), roots)).toThrow('is a CA certificate');
  });

  it('counts depth: four intermediates pass, five do not', async () => {
    expect(judge((await leaf(await below(root, 4), { uri: URI })).cert, roots).uris).toEqual([URI]);
    const six = await leaf(await below(root, 5), { uri: URI });
    expect(() => judge(six.cert, roots)).toThrow(/longer than 5/);
  });

  it('refuses another root, also one of the same name', async () => {
    const other = await rootAuthority('root');
    const stranger = await leaf(other, { uri: URI });
    expect(() => judge(stranger.cert, roots)).toThrow('does not chain to a trusted root');
    expect(() => judge(`${stranger.cert}\n${pem(other)}`, roots)).toThrow('does not chain to a trusted root');
    expect(judge(stranger.cert, readRoots(`${pem(root)}\n${pem(other)}`)).uris).toEqual([URI]);
  });

  it('refuses a leaf that plays CA', async () => {
    const player = await leaf(root, { uri: URI });
    const victim = await leaf(player.authority, { uri: URI });
    expect(() => judge(victim.cert, roots)).toThrow('does not chain to a trusted root');
    expect(() => readRoots(player.cert)).toThrow('is not a CA certificate');
  });

  it('refuses a CA certificate as leaf', async () => {
    expect(() => judge(pem(root), roots)).toThrow('is a CA certificate');
  });

  it('keeps to path lengths', async () => {
    const last = await intermediate(root, 'last', 0);
    expect(judge((await leaf(last, { uri: URI })).cert, roots).uris).toEqual([URI]);
    const tooDeep = await intermediate(last, 'too deep');
    const hidden = await leaf(tooDeep, { uri: URI });
    expect(() => judge(hidden.cert, roots)).toThrow('does not chain to a trusted root');
  });

  it('judges the time of every certificate on the path', async () => {
    const hourAgo = new Date(Date.now() - HOUR_MS);
    const own = await leaf(root, { uri: URI });
    expect(() => judge(own.cert, roots, 'client', Date.now() - 30 * HOUR_MS)).toThrow('not yet valid');
    expect(() => judge(own.cert, roots, 'client', Date.now() + 30 * HOUR_MS)).toThrow('has expired');
    expect(() => judge(own.cert, roots, 'client', Number.NaN)).toThrow('not yet valid');
    const expired = await intermediate(root, 'expired', undefined, { notAfter: hourAgo });
    const below = await leaf(expired, { uri: URI });
    expect(() => judge(below.cert, roots)).toThrow('has expired');
  });

  it('refuses what it does not understand, where that is critical', async () => {
    const unknown = (critical: boolean) =>
      leaf(root, { uri: URI, extra: [new x509.Extension('1.2.3.4.5', critical, new Uint8Array([5, 0]))] });
    expect(judge((await unknown(false)).cert, roots).uris).toEqual([URI]);
    const strange = await unknown(true);
    expect(() => judge(strange.cert, roots)).toThrow('unknown critical extension 1.2.3.4.5');
  });

  it('wants the purpose of the role', async () => {
    const server = await leaf(root, { uri: URI, purposes: [x509.ExtendedKeyUsage.serverAuth] });
    expect(judge(server.cert, roots, 'server').uris).toEqual([URI]);
    expect(() => judge(server.cert, roots)).toThrow('not for client authentication');
  });

  it('takes no bytes that are no certificate', async () => {
    const [own] = der((await leaf(root, { uri: URI })).cert);
    expect(() => verifyPeer([own!.subarray(0, own!.length - 1)], roots, 'client', Date.now())).toThrow();
    expect(() => readRoots('')).toThrow('hold no certificate');
  });

  it('passes by an outdated certificate of a CA whose next one is there', async () => {
    const old = await reissued(root, { notBefore: new Date(Date.now() - 9 * HOUR_MS), notAfter: new Date() });
    const own = await leaf(root, { uri: URI });
    const later = Date.now() + HOUR_MS;
    expect(judge(own.cert, readRoots(`${pem(old)}\n${pem(root)}`), 'client', later).uris).toEqual([URI]);
    expect(() => judge(own.cert, readRoots(pem(old)), 'client', later)).toThrow('has expired');
  });

  it('judges a chain it knows by time, role and roots all the same', async () => {
    const own = await leaf(await below(root, 1), { uri: URI, purposes: [x509.ExtendedKeyUsage.clientAuth] });
    const other = readRoots(pem(await rootAuthority('root')));
    for (let i = 0; i < 2; i++) {
      expect(judge(own.cert, roots).uris).toEqual([URI]);
      expect(() => judge(own.cert, roots, 'server')).toThrow('not for server authentication');
      expect(() => judge(own.cert, roots, 'client', Date.now() + 48 * HOUR_MS)).toThrow('has expired');
      expect(() => judge(own.cert, roots, 'client', Date.now() - 48 * HOUR_MS)).toThrow('not yet valid');
      expect(() => judge(own.cert, other)).toThrow('does not chain');
      // Its leaf alone is another chain.
      expect(() => judge(pemCertificates(own.cert)[0]!, roots)).toThrow('does not chain');
    }
  });
});
