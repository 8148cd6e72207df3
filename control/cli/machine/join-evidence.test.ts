import { describe, expect, it } from 'vitest';
import { byEvidence, namesEvidence } from './join-evidence.ts';

const HASH = 'ab'.repeat(32);
const flags = { as: 'oidc', controlPlane: ['https://10.0.0.1:15012', 'https://[2001:db8::1]:15012'], rootHash: HASH };

describe('tulle join --as', () => {
  it('says where the control plane is, what is asked for, and obtains evidence for a CSR', async () => {
    const by = byEvidence({ ...flags, namespace: 'shop', group: 'reviews' }, { TULLE_OIDC_TOKEN: 'a.b.c' });
    expect(by).toMatchObject({
      controlPlanes: flags.controlPlane,
      rootHash: HASH,
      asked: { namespace: 'shop', group: 'reviews' },
    });
    expect(await by.evidence('csr')).toEqual({ kind: 'oidc', token: 'a.b.c' });
  });

  it('is what any of its flags names', () => {
    expect(namesEvidence({})).toBe(false);
    expect(namesEvidence({ as: 'aws' })).toBe(true);
    expect(namesEvidence({ rootHash: HASH })).toBe(true);
  });

  it.each<[string, object, string]>([
    ['no kind', { as: undefined }, '--as : must be one of oidc, certificate, aws, gcp, azure'],
    ['another kind', { as: 'token' }, '--as token: must be one of'],
    ['no control plane', { controlPlane: undefined }, '--control-plane is required'],
    ['one without TLS', { controlPlane: ['http://a'] }, '--control-plane http://a: must be https://HOST:PORT'],
    ['no hash', { rootHash: undefined }, '--root-hash is required'],
    ['a hash that is none', { rootHash: HASH.toUpperCase() }, '--root-hash is required'],
  ])('refuses %s', (_, change, message) => expect(() => byEvidence({ ...flags, ...change }, {})).toThrow(message));
});
