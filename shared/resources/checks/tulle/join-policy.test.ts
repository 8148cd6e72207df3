import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { leaf, rootAuthority } from '../../../../tests/mtls/certificates.ts';
import { validate } from '../../index.ts';
import { parseDocuments } from '../../read/parse.ts';

const JWKS = JSON.stringify({
  keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })],
});
const root = await rootAuthority('root');
const ROOT = root.certificate.toString('pem');
const LEAF = (await leaf(root, { uri: 'spiffe://a/b' })).cert;

const GRANT = { group: 'reviews' };
const OIDC = { issuer: 'https://ci.example', audiences: ['tulle'], claims: { sub: { exact: 'repo:acme/shop' } } };
const CERTIFICATE = { trustedRoots: ROOT, subjectAltNames: [{ dns: { exact: 'a.example' } }] };
const AWS = { accounts: ['123456789012'], certificates: ROOT };
const GCP = { audiences: ['tulle'], projects: ['acme'] };
const AZURE = { subscriptions: ['8d10da13-8125-4ba9-a717-bf7490507b3d'], trustedRoots: ROOT };

const found = (spec: unknown) => {
  const metadata = { name: 'ci', namespace: 'shop' };
  return validate({ apiVersion: 'tulle.dev/v1alpha1', kind: 'JoinPolicy', metadata, spec });
};
const lines = (list: readonly { path: string; message: string }[]) => list.map((one) => `${one.path}: ${one.message}`);
const violations = (spec: unknown) => lines(found(spec).violations);
const rule = (evidence: object, grant: object = GRANT) => ({ rules: [{ ...evidence, grant }] });

describe('a policy that is accepted, without a warning', () => {
  it.each([
    ['oidc', { oidc: OIDC }],
    ['oidc with keys', { oidc: { ...OIDC, issuer: 'ci', jwks: JWKS } }],
    ['nested claims', { oidc: { ...OIDC, claims: { 'a.b': { prefix: 'x' }, '[kubernetes.io][x]': { regex: 'a+' } } } }],
    ['certificate', { certificate: CERTIFICATE }],
    ['gcp', { gcp: GCP }],
    ['azure', { azure: AZURE }],
  ])('%s', (_, evidence) => {
    expect(found(rule(evidence)).violations).toEqual([]);
    expect(found(rule(evidence)).warnings).toEqual([]);
  });

  it.each([
    ['a service account', { serviceAccount: 'reviews' }],
    ['a name from a claim', { serviceAccountFromClaim: { claim: 'env', allowed: ['prod', 'staging'] } }],
    ['everything', { group: 'reviews', labels: { 'a.b/c': 'd' }, ephemeral: true }],
  ])('grants %s', (_, grant) => expect(found(rule({ oidc: OIDC }, grant)).violations).toEqual([]));
});

describe('a policy that is refused, each field by its path', () => {
  const at = (field: string) => `spec.rules[0].${field}`;
  const oidc = (change: object) => rule({ oidc: { ...OIDC, ...change } });
  const mapped = (serviceAccountFromClaim: object) => rule({ oidc: OIDC }, { serviceAccountFromClaim });

  it.each<[string, unknown, string]>([
    ['no rules', {}, 'spec.rules: is required'],
    ['no evidence', rule({}), 'spec.rules[0]: one of oidc'],
    ['two kinds of evidence', rule({ oidc: OIDC, gcp: GCP }), 'spec.rules[0]: only one of oidc, gcp'],
    ['no grant', { rules: [{ oidc: OIDC }] }, at('grant: is required')],
    ['an empty grant', rule({ oidc: OIDC }, {}), at('grant: exactly one of group')],
    ['two grants', rule({ oidc: OIDC }, { group: 'a', serviceAccount: 'b' }), at('grant: exactly one of group')],
    ['an unknown field', rule({ oidc: { ...OIDC, audience: 'x' } }), at('oidc.audience: unknown field')],
    ['no audience', oidc({ audiences: [] }), at('oidc.audiences: must have at least 1')],
    ['no claims', oidc({ claims: {} }), at('oidc.claims: must have at least 1')],
    ['an empty match', oidc({ claims: { sub: {} } }), at('oidc.claims.sub: must have one of exact')],
    ['an empty prefix', oidc({ claims: { sub: { prefix: '' } } }), at('oidc.claims.sub.prefix: must not be empty')],
    ['a regex', oidc({ claims: { sub: { regex: '(?=a)' } } }), at('oidc.claims.sub.regex: ')],
    ['a claim of no name', oidc({ claims: { 'a..b': { exact: 'x' } } }), at('oidc.claims["a..b"]: must name a claim')],
    ['an open bracket', oidc({ claims: { '[a': { exact: 'x' } } }), at('oidc.claims["[a"]: must name a claim')],
    ['an issuer without keys', oidc({ issuer: 'ci' }), at('oidc.issuer: is no URL')],
    ['two sources of keys', oidc({ jwks: JWKS, jwksUri: 'https://a' }), at('oidc: only one of jwks, jwksUri')],
    ['keys at a file', oidc({ jwksUri: 'file:///etc/keys' }), at('oidc.jwksUri: must be an http')],
    ['a shared secret', oidc({ jwks: '{"keys":[{"kty":"oct","k":"AQAB"}]}' }), at('oidc.jwks: must be a JSON Web Key')],
    ['a max age of nothing', oidc({ maxAge: '0s' }), at('oidc.maxAge: must be a duration of at least')],
    [
      'roots that are none',
      rule({ certificate: { ...CERTIFICATE, trustedRoots: 'x' } }),
      at('certificate.trustedRoots'),
    ],
    ['no name', rule({ certificate: { ...CERTIFICATE, subjectAltNames: [{}] } }), at('certificate.subjectAltNames[0]')],
    ['an account', rule({ aws: { ...AWS, accounts: ['1'] } }), at('aws.accounts[0]: must match')],
    ['a subscription', rule({ azure: { ...AZURE, subscriptions: ['1'] } }), at('azure.subscriptions[0]: must match')],
    ['a group', rule({ oidc: OIDC }, { group: 'A_b' }), at('grant.group: "A_b" must be a DNS subdomain')],
    ['a label', rule({ oidc: OIDC }, { ...GRANT, labels: { a: 'b c' } }), at('grant.labels.a: label value')],
    ['an allowed name', mapped({ claim: 'a', allowed: ['../x'] }), at('grant.serviceAccountFromClaim.allowed[0]: ')],
    ['no allowed name', mapped({ claim: 'a', allowed: [] }), at('grant.serviceAccountFromClaim.allowed: must have')],
    ['a name twice', mapped({ claim: 'a', allowed: ['b', 'b'] }), at('grant.serviceAccountFromClaim.allowed[1]: ')],
    [
      'a claim of other evidence',
      rule({ gcp: GCP }, { groupFromClaim: { claim: 'a', allowed: ['b'] } }),
      at('grant.groupFromClaim: is for evidence oidc alone'),
    ],
    ['a namespace', { ...rule({ oidc: OIDC }), namespaces: ['A'] }, 'spec.namespaces[0]: "A" must be a DNS label'],
  ])('%s', (_, spec, line) => {
    expect(violations(spec).filter((one) => one.startsWith(line))).toHaveLength(1);
    expect(violations(spec)).toHaveLength(1);
  });

  it('is named by all violations at once', () =>
    expect(violations({ rules: [rule({}).rules[0], rule({ aws: {} }).rules[0]] }).length).toBeGreaterThanOrEqual(3));
});

describe('a rule that can never match is a warning', () => {
  it.each<[string, unknown, string]>([
    ['no rules', { rules: [] }, 'grants nothing'],
    [
      'another issuer',
      rule({ oidc: { ...OIDC, claims: { iss: { exact: 'b' } } } }),
      'the issuer of the rule is another',
    ],
    ['every value', rule({ oidc: { ...OIDC, claims: { sub: { regex: '.*' } } } }), 'matches every value'],
    [
      'upper case',
      rule({ certificate: { ...CERTIFICATE, subjectAltNames: [{ dns: { exact: 'A.example' } }] } }),
      'compared in lower case',
    ],
    ['a leaf as root', rule({ certificate: { ...CERTIFICATE, trustedRoots: LEAF } }), 'not one of an authority'],
    ['a key of another type', rule({ aws: AWS }), 'not one with an RSA key of 2048'],
  ])('%s', (_, spec, text) => {
    expect(violations(spec)).toEqual([]);
    const { warnings } = found(spec);
    expect(lines(warnings)).toHaveLength(1);
    expect(lines(warnings)[0]).toContain(text);
  });
});

it('the examples of docs/joining.md are accepted', () => {
  const page = readFileSync(new URL('../../../../docs/joining.md', import.meta.url), 'utf8');
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!);
  expect(examples).toHaveLength(4);
  for (const text of examples) {
    const { documents, errors } = parseDocuments(
      text.replaceAll(/^( *)CERTIFICATES$/gm, (_, indent: string) => ROOT.trim().replaceAll(/^/gm, indent)),
      'joining.md',
    );
    expect(errors).toEqual([]);
    for (const { value } of documents) expect(validate(value).violations).toEqual([]);
  }
});
