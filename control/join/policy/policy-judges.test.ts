/** Evidence against whole policies: what is granted, and each way to be refused. */
import { createPrivateKey, generateKeyPairSync, sign as nodeSign } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { createCsr } from '../../../shared/identity/csr.ts';
import { generateKeys } from '../../../shared/identity/keys.ts';
import * as x509 from '../../../shared/identity/x509.ts';
import type { Evidence } from '../../../shared/join/join-protocol.ts';
import { nonceOf, possessionMessage } from '../../../shared/join/possession.ts';
import { validate } from '../../../shared/resources/index.ts';
import { intermediate, leaf, rootAuthority } from '../../../tests/mtls/certificates.ts';
import { Refusal } from '../evidence/proof.ts';
import { type Judgement, judge } from '../join-evidence.ts';
import {
  awsDocument,
  azureDocument,
  type DocumentKeys,
  documentSigner,
  signedData,
} from '../testing/signed-documents.ts';
import { serviceAccountClaims, testIssuer, workflowClaims } from '../testing/tokens.ts';
import { type JoinPolicy, rulesOf } from './join-rules.ts';
import { policyJudges } from './policy-judges.ts';
import { openUsedEvidence } from './used-evidence.ts';

const NOW = Date.now();
const ci = testIssuer('https://ci.example');
const cluster = testIssuer('https://kubernetes.default.svc');
const google = testIssuer('https://accounts.google.com');
const fetchedIssuer = testIssuer('https://fetched.example');
const csr = await createCsr(await generateKeys());
const otherCsr = await createCsr(await generateKeys());

const GROUPS: Record<string, string> = {
  'shop/reviews': 'reviews-sa',
  'shop/cart': 'cart-sa',
  'infra/agents': 'agent',
};

function policy(rules: unknown[], { namespace = 'shop', ...spec }: Record<string, unknown> = {}): JoinPolicy {
  const metadata = { name: 'ci', namespace };
  const { resource, violations } = validate({
    apiVersion: 'tulle.dev/v1alpha1',
    kind: 'JoinPolicy',
    metadata,
    spec: { rules, ...spec },
  });
  expect(violations).toEqual([]);
  return resource as JoinPolicy;
}

async function setUp(policies: readonly JoinPolicy[], now = NOW) {
  const used = await openUsedEvidence(':memory:', () => now);
  const lines: string[] = [];
  const rules = rulesOf(policies, 'istio-system');
  const judges = policyJudges({
    rules: () => rules,
    keys: (source) => ('issuer' in source && source.issuer === fetchedIssuer.issuer ? fetchedIssuer.keys : undefined),
    accountOf: (namespace, group) => GROUPS[`${namespace}/${group}`],
    used,
    now: () => now,
    log: (line) => void lines.push(line),
  });
  const ask = (evidence: Evidence, wanted: object = {}) => judge(judges, { csr, evidence, ...wanted });
  return { ask, lines };
}

const token = (text: string): Evidence => ({ kind: 'oidc', token: text });
const OIDC = { issuer: ci.issuer, audiences: ['tulle'], jwks: ci.jwks, claims: { repository: { exact: 'acme/shop' } } };
const oidc = (change: object = {}, grant: object = { group: 'reviews' }) => ({ oidc: { ...OIDC, ...change }, grant });
const workflow = (change: object = {}) => ci.token({ ...workflowClaims('acme/shop', 'tulle', NOW), ...change });

const granted = async (judgement: Promise<Judgement>) => (await judgement).join;
async function refusal(judgement: Promise<Judgement>): Promise<Refusal> {
  const error = await judgement.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(Refusal);
  return error as Refusal;
}

describe('a token of an issuer', () => {
  it('makes a machine a workload of the group', async () => {
    const { ask } = await setUp([policy([oidc({}, { group: 'reviews', labels: { team: 'a' }, ephemeral: true })])]);
    expect(await granted(ask(token(workflow())))).toEqual({
      namespace: 'shop',
      group: 'reviews',
      serviceAccount: 'reviews-sa',
      labels: { team: 'a' },
      ephemeral: true,
      by: 'oidc https://ci.example repo:acme/shop:ref:refs/heads/main (JoinPolicy shop/ci)',
    });
  });

  it('of a Kubernetes service account is matched by nested claims, and may be reusable', async () => {
    const claims = {
      '[kubernetes.io][namespace]': { exact: 'web' },
      '[kubernetes.io][serviceaccount][name]': { prefix: 'sh' },
    };
    const rule = oidc(
      { issuer: cluster.issuer, jwks: cluster.jwks, claims, reusable: true },
      { serviceAccount: 'edge' },
    );
    const { ask } = await setUp([policy([rule])]);
    const text = cluster.token(serviceAccountClaims('web', 'shop', 'tulle', NOW));
    for (let i = 0; i < 2; i++) {
      const judgement = await ask(token(text));
      expect(judgement.join).toMatchObject({ namespace: 'shop', group: undefined, serviceAccount: 'edge' });
      await judgement.claim();
    }
    const other = cluster.token(serviceAccountClaims('other', 'shop', 'tulle', NOW));
    expect((await refusal(ask(token(other)))).detail).toContain('claim [kubernetes.io][namespace] does not match');
  });

  it('joins once, of concurrent uses too, and is not spent by a request that is not completed', async () => {
    const { ask } = await setUp([policy([oidc()])]);
    const text = workflow();
    const [first, second] = await Promise.all([ask(token(text)), ask(token(text))]);
    await first!.claim();
    await expect(second!.claim()).rejects.toThrow('was used already');
    await expect(ask(token(text))).rejects.toThrow('was used already');
    // Another token of the same job.
    expect(await granted(ask(token(workflow({ jti: 'b' }))))).toMatchObject({ group: 'reviews' });
  });

  it('is verified with keys that were fetched, and refused as long as they are not there', async () => {
    const rules = (issuer: string) => [policy([oidc({ issuer, jwks: undefined })])];
    const claims = workflowClaims('acme/shop', 'tulle', NOW);
    const { ask } = await setUp(rules(fetchedIssuer.issuer));
    expect(await granted(ask(token(fetchedIssuer.token(claims))))).toMatchObject({ group: 'reviews' });
    const away = await setUp(rules(ci.issuer));
    expect((await refusal(away.ask(token(ci.token(claims))))).code).toBe('unavailable');
  });

  const seconds = Math.floor(NOW / 1000);
  it.each<[string, string, string, RegExp]>([
    ['without a signature', workflow().replace(/[^.]*$/, ''), 'unproved', /no signed JSON Web Token/],
    ['with a part more', `${workflow()}.a`, 'unproved', /no signed JSON Web Token/],
    ['with alg none', ci.token(workflowClaims('acme/shop', 'tulle', NOW), { alg: 'none' }), 'unproved', /its alg/],
    [
      'with a shared secret',
      ci.token(workflowClaims('acme/shop', 'tulle', NOW), { alg: 'HS256' }),
      'unproved',
      /its alg/,
    ],
    ['with crit', ci.token(workflowClaims('acme/shop', 'tulle', NOW), { crit: ['x'] }), 'unproved', /crit/],
    [
      'of another key',
      ci.token(workflowClaims('acme/shop', 'tulle', NOW), { kid: 'two' }),
      'unproved',
      /no JoinPolicy accepts/,
    ],
    [
      'that was changed',
      workflow().replace(/.(?=[^.]{8}$)/, (c) => (c === 'A' ? 'B' : 'A')),
      'unproved',
      /no JoinPolicy accepts/,
    ],
    ['that has expired', workflow({ exp: seconds - 61 }), 'unproved', /has expired/],
    ['without exp', workflow({ exp: undefined }), 'unproved', /no claim exp/],
    ['without iat', workflow({ iat: undefined }), 'unproved', /no claim iat/],
    ['of the future', workflow({ nbf: seconds + 120 }), 'unproved', /is valid from/],
    ['issued in the future', workflow({ iat: seconds + 120 }), 'unproved', /is valid from/],
    ['that is too old', workflow({ iat: seconds - 3700 }), 'unproved', /no JoinPolicy accepts/],
    ['for another audience', workflow({ aud: ['other'] }), 'unproved', /no JoinPolicy accepts/],
    ['with an audience that is no text', workflow({ aud: { a: 1 } }), 'unproved', /its aud/],
    ['of another issuer', cluster.token(workflowClaims('acme/shop', 'tulle', NOW)), 'unproved', /no JoinPolicy/],
    ['of another repository', workflow({ repository: 'acme/shop2' }), 'unproved', /no JoinPolicy accepts/],
    ['whose claim is an object', workflow({ repository: { 'acme/shop': true } }), 'unproved', /no JoinPolicy accepts/],
  ])('%s is refused', async (_, text, code, message) => {
    const { ask, lines } = await setUp([policy([oidc()])]);
    const refused = await refusal(ask(token(text)));
    expect(refused.code).toBe(code);
    expect(refused.message).toMatch(message);
    // The caller learns nothing of the policy; the log says which rule it was.
    expect(refused.message).not.toMatch(/JoinPolicy shop|acme/);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^join refused: oidc: /);
  });

  it('within the tolerance of clocks is taken', async () => {
    const { ask } = await setUp([policy([oidc()])]);
    for (const change of [{ exp: seconds - 50 }, { nbf: seconds + 50 }, { iat: seconds - 3650 }])
      expect(await granted(ask(token(workflow(change))))).toMatchObject({ group: 'reviews' });
  });

  it('with RSA and Ed25519 keys', async () => {
    for (const [type, alg, options] of [
      ['rsa', 'RS256', { modulusLength: 2048 }],
      ['ed25519', 'EdDSA', {}],
    ] as const) {
      const { publicKey, privateKey } = generateKeyPairSync(type as 'rsa', options as { modulusLength: number });
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const claims = { iss: ci.issuer, ...workflowClaims('acme/shop', 'tulle', NOW) };
      const signed = `${part({ alg })}.${part(claims)}`;
      const hash = type === 'rsa' ? 'sha256' : null;
      const text = `${signed}.${nodeSign(hash, Buffer.from(signed), privateKey).toString('base64url')}`;
      const { ask } = await setUp([
        policy([oidc({ jwks: JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }) })]),
      ]);
      expect(await granted(ask(token(text)))).toMatchObject({ group: 'reviews' });
    }
  });
});

describe('what is granted', () => {
  it('is of the namespace of the policy; the root namespace may name others', async () => {
    const root = policy([oidc({}, { group: 'agents' })], { namespace: 'istio-system', namespaces: ['infra', 'shop'] });
    const { ask } = await setUp([root]);
    expect(await granted(ask(token(workflow())))).toMatchObject({ namespace: 'infra', serviceAccount: 'agent' });
    const usurper = policy([oidc({}, { group: 'agents' })], { namespaces: ['infra'] });
    expect((await refusal((await setUp([usurper])).ask(token(workflow())))).code).toBe('not-allowed');
  });

  it('is nothing while the policy is disabled', async () => {
    const { ask } = await setUp([policy([oidc()], { disabled: true })]);
    expect((await refusal(ask(token(workflow())))).code).toBe('unproved');
  });

  it('is chosen by the machine where there is a choice, and agrees with what it asks for', async () => {
    const { ask } = await setUp([policy([oidc(), oidc({}, { group: 'cart' })])]);
    await expect(ask(token(workflow()))).rejects.toThrow('good for several workloads');
    expect(await granted(ask(token(workflow()), { group: 'cart' }))).toMatchObject({ group: 'cart' });
    expect(await granted(ask(token(workflow()), { serviceAccount: 'reviews-sa' }))).toMatchObject({ group: 'reviews' });
    for (const wanted of [
      { group: 'ratings' },
      { namespace: 'infra' },
      { group: 'cart', serviceAccount: 'reviews-sa' },
    ])
      expect((await refusal(ask(token(workflow()), wanted))).code).toBe('not-allowed');
  });

  it('by a claim is one of the names that are allowed, whole', async () => {
    const mapping = { claim: 'environment', allowed: ['production', 'staging'] };
    const { ask } = await setUp([policy([oidc({}, { serviceAccountFromClaim: mapping })])]);
    expect(await granted(ask(token(workflow())))).toMatchObject({ serviceAccount: 'production', group: undefined });
    for (const environment of ['prod', 'production2', '', ['production'], { a: 1 }, undefined])
      expect((await refusal(ask(token(workflow({ environment }))))).code).toBe('not-allowed');
  });

  it('is nothing of a group that does not exist', async () => {
    const { ask } = await setUp([policy([oidc({}, { group: 'ratings' })])]);
    expect((await refusal(ask(token(workflow())))).detail).toContain('does not exist');
  });

  it('names who joined in one line, whatever the token says', async () => {
    const { ask } = await setUp([policy([oidc()])]);
    const { by } = await granted(ask(token(workflow({ sub: `a\n\u001b[31m${'b'.repeat(1000)}` }))));
    expect(by).toMatch(/^oidc https:\/\/ci\.example a\\n\\u001b\[31mb+ \(JoinPolicy shop\/ci\)$/);
    expect(by.length).toBeLessThan(450);
  });
});

describe('a certificate of another authority', async () => {
  const root = await rootAuthority('corporate');
  const middle = await intermediate(root, 'machines');
  const names = (dns: string) => new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: dns }]);
  const host = await leaf(middle, { uri: '', names: names('DB1.corp.example') });
  const rule = {
    certificate: {
      trustedRoots: root.certificate.toString('pem'),
      subjectAltNames: [{ dns: { regex: 'db[0-9]+\\.corp\\.example' } }],
    },
    grant: { group: 'reviews' },
  };
  const prove = async ({ cert, key }: { cert: string; key: string }, of = csr): Promise<Evidence> => {
    const signature = nodeSign('sha256', await possessionMessage(of), {
      key: createPrivateKey(key),
      dsaEncoding: 'ieee-p1363',
    }).toString('base64');
    return { kind: 'certificate', chain: cert, signature };
  };

  it('whose key the machine has', async () => {
    const { ask } = await setUp([policy([rule])]);
    expect(await granted(ask(await prove(host)))).toMatchObject({
      group: 'reviews',
      by: 'certificate db1.corp.example (JoinPolicy shop/ci)',
    });
  });

  it('by a URI', async () => {
    const subjectAltNames = [{ uri: { prefix: 'spiffe://corp/host/' } }];
    const { ask } = await setUp([policy([{ ...rule, certificate: { ...rule.certificate, subjectAltNames } }])]);
    const spiffe = await leaf(middle, { uri: 'spiffe://corp/host/a' });
    expect(await granted(ask(await prove(spiffe)))).toMatchObject({ group: 'reviews' });
  });

  const DAY = 86_400_000;
  const stranger = await rootAuthority('stranger');
  const narrow = await intermediate(root, 'narrow', undefined, {}, [
    // NameConstraints: permitted DNS names of web.example alone.
    new x509.Extension(
      '2.5.29.30',
      true,
      Uint8Array.from([0x30, 0x11, 0xa0, 0x0f, 0x30, 0x0d, 0x82, 0x0b, ...Buffer.from('web.example')]),
    ),
  ]);
  const db1 = names('db1.corp.example');
  it.each<[string, () => Promise<Evidence>, RegExp]>([
    ['for another CSR', () => prove(host, otherCsr), /not by its key for this CSR/],
    [
      'without the key',
      async () => prove({ cert: host.cert, key: (await leaf(middle, { uri: '', names: db1 })).key }),
      /not by its key/,
    ],
    ['of another root', async () => prove(await leaf(stranger, { uri: '', names: db1 })), /certificate: /],
    [
      'that has expired',
      async () => prove(await leaf(middle, { uri: '', names: db1, notAfter: new Date(NOW - DAY / 2) })),
      /has expired/,
    ],
    ['of an authority', async () => prove(await leaf(middle, { uri: '', names: db1, ca: true })), /is a CA/],
    [
      'for servers',
      async () => prove(await leaf(middle, { uri: '', names: db1, purposes: ['1.3.6.1.5.5.7.3.1'] })),
      /not for client/,
    ],
    ['beyond a name constraint', async () => prove(await leaf(narrow, { uri: '', names: db1 })), /may not speak for/],
    [
      'of another name',
      async () => prove(await leaf(middle, { uri: '', names: names('x.db1.corp.example') })),
      /no name of the certificate matches/,
    ],
    ['that is none', async () => ({ kind: 'certificate', chain: 'x', signature: '' }), /cannot be read/],
    ['with a chain of seven', async () => prove({ ...host, cert: host.cert.repeat(7) }), /more than 6/],
  ])('%s is refused', async (_, evidence, message) => {
    const { ask, lines } = await setUp([policy([rule])]);
    expect((await refusal(ask(await evidence()))).code).toBe('unproved');
    expect(lines.at(-1)).toMatch(message);
  });
});

describe('an instance identity document of AWS', () => {
  let aws: DocumentKeys;
  let rule: { aws: Record<string, unknown>; grant: object };
  const HOUR = 3_600_000;
  beforeAll(async () => {
    aws = await documentSigner('aws');
    const other = await documentSigner('another region');
    const certificates = [other, aws].map(({ certificate }) => certificate.toString('pem')).join('\n');
    rule = { aws: { accounts: ['123456789012'], certificates }, grant: { group: 'reviews' } };
  });
  const evidence = async (change: object = {}, keys = aws): Promise<Evidence> => ({
    kind: 'aws',
    ...(await awsDocument({ started: NOW - 60_000, ...change }, keys)),
  });
  const withAws = (change: object) => policy([{ ...rule, aws: { ...rule.aws, ...change } }]);

  it('signed by AWS, of an account that is allowed', async () => {
    const all = { regions: ['eu-central-1'], images: ['ami-5fb8c835'], instanceIds: ['i-1234567890abcdef0'] };
    const { ask } = await setUp([withAws(all)]);
    expect(await granted(ask(await evidence()))).toMatchObject({
      group: 'reviews',
      by: 'aws 123456789012 eu-central-1 i-1234567890abcdef0 (JoinPolicy shop/ci)',
    });
  });

  it('joins once for each instance, unless it may join again', async () => {
    const once = await setUp([policy([rule])]);
    await (await once.ask(await evidence())).claim();
    await expect(once.ask(await evidence())).rejects.toThrow('was used already');
    expect(await granted(once.ask(await evidence({ instanceId: 'i-2' })))).toMatchObject({ group: 'reviews' });
    const again = await setUp([withAws({ rejoin: true })]);
    for (let i = 0; i < 2; i++) await (await again.ask(await evidence())).claim();
  });

  it.each<[string, () => Promise<Evidence>, RegExp]>([
    ['of another account', () => evidence({ accountId: '210987654321' }), /account is none/],
    ['of another region', () => evidence({ region: 'us-east-1' }), /region is none/],
    ['of another image', () => evidence({ imageId: 'ami-1' }), /image is none/],
    ['of another instance', () => evidence({ instanceId: 'i-9' }), /instance is none/],
    ['of an instance that started long ago', () => evidence({ started: NOW - 2 * HOUR }), /longer ago/],
    ['of the future', () => evidence({ started: NOW + HOUR }), /in the future/],
    ['of another signer', async () => evidence({}, await documentSigner('aws')), /signed by none/],
    ['of a short key', async () => evidence({}, await documentSigner('aws', { bits: 1024 })), /signed by none/],
    ['without a signature', async () => ({ ...(await evidence()), signature: undefined }) as Evidence, /rsa2048/],
    [
      'with a signature that is none',
      async () => ({ ...(await evidence()), signature: 'AAAA' }) as Evidence,
      /signature: /,
    ],
    [
      'that was changed',
      async () => {
        const { document, signature } = (await evidence()) as { document: string; signature: string };
        return { kind: 'aws', document: document.replace('x86_64', 'x86_65'), signature };
      },
      /of another document/,
    ],
    [
      'whose signature is of another content',
      async () => {
        const { document } = (await evidence()) as { document: string };
        const bytes = new TextEncoder().encode(document);
        return { kind: 'aws', document, signature: await signedData(bytes, aws, { digestOf: new Uint8Array(3) }) };
      },
      /signed by none/,
    ],
    ['that is no document', async () => ({ kind: 'aws', document: '[]', signature: 'AAAA' }), /no instance identity/],
    [
      'with a field twice',
      async () => {
        const { document, signature } = (await evidence()) as { document: string; signature: string };
        return { kind: 'aws', document: document.replace('{', '{"accountId":"1",'), signature };
      },
      /no instance identity/,
    ],
  ])('%s is refused', async (_, made, detail) => {
    const all = { regions: ['eu-central-1'], images: ['ami-5fb8c835'], instanceIds: ['i-1234567890abcdef0'] };
    const { ask } = await setUp([withAws(all)]);
    expect((await refusal(ask(await made()))).detail).toMatch(detail);
  });

  it('with the content apart, and without signed attributes', async () => {
    const { document } = (await evidence()) as { document: string };
    const { ask } = await setUp([policy([rule])]);
    for (const options of [{ detached: true }, { attributes: false }, { indefinite: true, detached: true }]) {
      const signature = await signedData(new TextEncoder().encode(document), aws, options);
      expect(await granted(ask({ kind: 'aws', document, signature }))).toMatchObject({ group: 'reviews' });
    }
  });
});

describe('an identity token of a GCP instance', () => {
  const seconds = Math.floor(NOW / 1000);
  const instance = {
    instance_creation_timestamp: seconds - 100,
    instance_id: '152986662232938449',
    instance_name: 'shop-1',
    project_id: 'acme-shop',
    project_number: 739419398126,
    zone: 'europe-west3-a',
  };
  const claims = (change: object = {}, of: object = {}) => ({
    aud: 'https://tulle.example',
    azp: '102',
    email: 'shop@acme-shop.iam.gserviceaccount.com',
    email_verified: true,
    exp: seconds + 3600,
    iat: seconds,
    sub: '102',
    google: { compute_engine: { ...instance, ...of } },
    ...change,
  });
  const rule = {
    gcp: {
      audiences: ['https://tulle.example'],
      projects: ['acme-shop'],
      zones: ['europe-west3-a'],
      serviceAccounts: ['shop@acme-shop.iam.gserviceaccount.com'],
      jwks: google.jwks,
    },
    grant: { group: 'reviews' },
  };
  const ask = async (document: string) => (await setUp([policy([rule])])).ask({ kind: 'gcp', document });

  it('of a project that is allowed', async () =>
    expect(await granted(ask(google.token(claims())))).toMatchObject({
      group: 'reviews',
      by: 'gcp acme-shop europe-west3-a shop-1 152986662232938449 (JoinPolicy shop/ci)',
    }));

  it.each<[string, () => string, RegExp]>([
    ['of another project', () => google.token(claims({}, { project_id: 'other' })), /project is none/],
    ['of another zone', () => google.token(claims({}, { zone: 'us-east1-b' })), /zone is none/],
    ['of another account', () => google.token(claims({ email: 'x@y' })), /service account is none/],
    ['of an account that is not verified', () => google.token(claims({ email_verified: false })), /service account/],
    ['for another audience', () => google.token(claims({ aud: 'https://other' })), /aud names none/],
    ['of another issuer', () => ci.token(claims()), /no JoinPolicy has a rule/],
    ['in the format standard', () => google.token(claims({ google: undefined })), /format=full/],
    ['that has expired', () => google.token(claims({ exp: seconds - 100 })), /has expired/],
    ['of another key', () => testIssuer(google.issuer).token(claims()), /by none of the keys/],
  ])('%s is refused', async (_, text, detail) => expect((await refusal(ask(text()))).detail).toMatch(detail));
});

describe('an attested document of Azure', () => {
  let root: DocumentKeys;
  let service: DocumentKeys;
  let rule: object;
  let nonce: string;
  const HOUR = 3_600_000;
  beforeAll(async () => {
    root = await documentSigner('Microsoft test', { ca: true });
    service = await documentSigner('metadata.azure.com', { issuer: root, dns: ['metadata.azure.com'] });
    nonce = await nonceOf(csr);
    rule = {
      azure: {
        subscriptions: ['8D10DA13-8125-4BA9-A717-BF7490507B3D'],
        vmIds: ['02aab8a4-74ef-476e-8182-f6d2ba4166a6'],
        trustedRoots: root.certificate.toString('pem'),
      },
      grant: { group: 'reviews' },
    };
  });
  const evidence = async (change: object = {}, keys = service): Promise<Evidence> => ({
    kind: 'azure',
    document: await azureDocument({ nonce, created: NOW - 60_000, ...change }, keys),
  });

  it('of a subscription that is allowed, once', async () => {
    const { ask } = await setUp([policy([rule])]);
    const judgement = await ask(await evidence());
    expect(judgement.join.by).toBe(
      'azure 8d10da13-8125-4ba9-a717-bf7490507b3d 02aab8a4-74ef-476e-8182-f6d2ba4166a6 (JoinPolicy shop/ci)',
    );
    await judgement.claim();
    await expect(ask(await evidence())).rejects.toThrow('was used already');
  });

  it.each<[string, () => Promise<Evidence>, RegExp]>([
    [
      'of another subscription',
      () => evidence({ subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3e' }),
      /subscription is none/,
    ],
    ['of another machine', () => evidence({ vmId: '02aab8a4-74ef-476e-8182-f6d2ba4166a7' }), /machine is none/],
    ['for another CSR', async () => evidence({ nonce: await nonceOf(otherCsr) }), /nonce is not/],
    ['that has expired', () => evidence({ created: NOW - 7 * HOUR }), /has expired/],
    ['of the future', () => evidence({ created: NOW + HOUR }), /is valid from/],
    [
      'of another service',
      async () => evidence({}, await documentSigner('x', { issuer: root, dns: ['metadata.azure.com.evil.example'] })),
      /not the metadata service/,
    ],
    [
      'of another root',
      async () => evidence({}, await documentSigner('x', { dns: ['metadata.azure.com'] })),
      /signer: /,
    ],
    [
      'whose signer has expired',
      async () =>
        evidence(
          {},
          await documentSigner('x', { issuer: root, dns: ['metadata.azure.com'], notAfter: new Date(NOW - HOUR) }),
        ),
      /has expired/,
    ],
    [
      'without the certificate',
      async () => ({
        kind: 'azure',
        document: await azureDocument({ nonce, created: NOW }, service, [root.certificate]),
      }),
      /signer is missing/,
    ],
    [
      'signed by another key',
      async () => {
        const { privateKey } = await documentSigner('x');
        return evidence({}, { certificate: service.certificate, privateKey });
      },
      /not by its signer/,
    ],
    ['that is no document', async () => ({ kind: 'azure', document: '{"encoding":"pkcs7"}' }), /no attested document/],
  ])('%s is refused', async (_, made, detail) => {
    const { ask } = await setUp([policy([rule])]);
    expect((await refusal(ask(await made()))).detail).toMatch(detail);
  });
});

it('a certificate request that is none is refused, not an internal error', async () => {
  const root = await rootAuthority('corporate');
  const host = await leaf(root, { uri: 'spiffe://corp/host/a' });
  const certificate = {
    trustedRoots: root.certificate.toString('pem'),
    subjectAltNames: [{ uri: { prefix: 'spiffe://corp/' } }],
  };
  const { ask } = await setUp([policy([{ certificate, grant: { group: 'reviews' } }])]);
  const evidence: Evidence = { kind: 'certificate', chain: host.cert, signature: 'AAAA' };
  expect((await refusal(ask(evidence, { csr: 'x' }))).message).toBe('csr: no PEM block "CERTIFICATE REQUEST" found');
});

it('evidence of a kind without a rule is refused', async () => {
  const { ask } = await setUp([policy([oidc()])]);
  expect((await refusal(ask({ kind: 'gcp', document: 'x' }))).detail).toContain('no JoinPolicy has a rule');
});
