/** Machines join without an invitation: a real control plane, a real OpenID provider, metadata services in the form that they have. */
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { awsDocument, azureDocument, documentSigner } from '../../control/join/testing/signed-documents.ts';
import { testIssuer, workflowClaims } from '../../control/join/testing/tokens.ts';
import {
  ACTIONS_BEARER,
  type MetadataDocuments,
  type MetadataServer,
  startMetadataServer,
} from '../../machine/testing/metadata-server.ts';
import type { JoinAnswer } from '../../shared/join/join-protocol.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { type Ran, run } from '../kit/process.ts';
import { yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { leaf, rootAuthority } from '../mtls/certificates.ts';

const AUDIENCE = 'https://api.example';
const ACCOUNT = '123456789012';
const actions = testIssuer('https://token.actions.example');
const google = testIssuer('https://accounts.google.com');

describe('a machine joins by evidence', () => {
  const mesh = new LoopbackMesh();
  let metadata: MetadataServer;
  let issuer = '';
  let issuerPort = 0;
  let host: { cert: string; key: string };

  const policy = (name: string, rules: object[], spec: object = {}) => ({
    apiVersion: 'tulle.dev/v1alpha1',
    kind: 'JoinPolicy',
    metadata: { name, namespace: 'default' },
    spec: { rules, ...spec },
  });
  const group = (name: string) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadGroup',
    metadata: { name, namespace: 'default' },
    spec: { template: { serviceAccount: `${name}-sa`, labels: { app: name }, ports: { http: 8080 } } },
  });

  async function startProvider(): Promise<void> {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
    const jwks = JSON.stringify({ keys: [{ ...rsa, kid: 'ci', use: 'sig', alg: 'RS256' }] });
    mesh.launch('issuer', [nodeBinary(), join(ROOT, 'tests/e2e/issuer.mjs'), String(issuerPort), jwks]);
    await until('the provider answers', async () => (await fetch(`${issuer}/.well-known/openid-configuration`)).ok);
  }
  async function providerToken(): Promise<string> {
    const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'read' });
    const authorization = `Basic ${btoa('mesh:meshsecret')}`;
    const answer = await fetch(`${issuer}/token`, { method: 'POST', body, headers: { authorization } });
    return ((await answer.json()) as { access_token: string }).access_token;
  }
  const tokenFile = async (text: string) => {
    const path = join(mesh.folder, `token-${createHash('sha256').update(text).digest('hex')}`);
    await writeFile(path, text);
    return path;
  };
  const rootHash = () => createHash('sha256').update(new X509Certificate(mesh.trustBundle).raw).digest('hex');
  function attempt(
    runtime: RuntimeName,
    kind: string,
    more: object = {},
    env: Record<string, string> = {},
  ): Promise<Ran> {
    const [command, ...args] = runtimeCommand(runtime, join(ROOT, 'tests/machine/join-by-evidence.ts'));
    const wanted = JSON.stringify({ url: mesh.url, rootHash: rootHash(), kind, ...more });
    return run(command, [...args, wanted], { env: { ...environment(), ...env } });
  }
  const environment = () => ({
    AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${metadata.port}`,
    GCE_METADATA_HOST: `127.0.0.1:${metadata.port}`,
    ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${metadata.port}/actions/token?v=1`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: ACTIONS_BEARER,
    // Metadata never goes through a proxy.
    http_proxy: 'http://127.0.0.1:1',
  });
  async function joined(ran: Promise<Ran>): Promise<JoinAnswer> {
    const { code, out, error } = await ran;
    expect({ code, error }).toEqual({ code: 0, error: '' });
    return JSON.parse(out) as JoinAnswer;
  }
  async function refused(ran: Promise<Ran>): Promise<string> {
    const { code, error } = await ran;
    expect(code).toBe(1);
    expect(error.trim().split('\n')).toHaveLength(1);
    return error;
  }

  beforeAll(async () => {
    [issuerPort] = (await freePorts(1)) as [number];
    issuer = `http://127.0.0.1:${issuerPort}`;
    await mesh.startControl({ flags: ['--jwks-refresh', '1s', '--jwks-allow-host', `127.0.0.1:${issuerPort}`] });
    await startProvider();
    const aws = await documentSigner('aws');
    const azureRoot = await documentSigner('Microsoft test', { ca: true });
    const azure = await documentSigner('metadata', { issuer: azureRoot, dns: ['westeurope.metadata.azure.com'] });
    const corporate = await rootAuthority('corporate');
    host = await leaf(corporate, { uri: 'spiffe://corp.example/host/db1' });
    let instances = 0;
    const documents: MetadataDocuments = {
      aws: await awsDocument({ started: Date.now() - 60_000, instanceId: 'i-1' }, aws),
      azure: (nonce) => azureDocument({ nonce, created: Date.now() }, azure),
      gcp: (aud) => {
        const seconds = Math.floor(Date.now() / 1000);
        const compute_engine = {
          project_id: 'acme',
          zone: 'europe-west3-a',
          instance_id: `${instances++}`,
          instance_name: 'vm',
        };
        return google.token({ aud, iat: seconds, exp: seconds + 3600, sub: '1', google: { compute_engine } });
      },
      actions: (audience) =>
        actions.token({ ...workflowClaims('acme/shop', audience, Date.now()), jti: `${instances++}` }),
    };
    metadata = await startMetadataServer(documents);
    const pem = (certificate: { toString(format: 'pem'): string }) => certificate.toString('pem');
    await mesh.apply(
      yaml(
        ...['ci', 'workflow', 'vm', 'db'].map(group),
        policy('provider', [
          {
            oidc: {
              issuer,
              audiences: [AUDIENCE],
              claims: { client_id: { exact: 'mesh' }, scope: { prefix: 'read' } },
            },
            grant: { group: 'ci', labels: { from: 'provider' }, ephemeral: true },
          },
        ]),
        policy('workflows', [
          {
            oidc: {
              issuer: actions.issuer,
              audiences: ['tulle'],
              claims: { repository: { exact: 'acme/shop' }, ref: { exact: 'refs/heads/main' } },
              jwks: actions.jwks,
            },
            grant: { group: 'workflow' },
          },
        ]),
        policy('clouds', [
          { aws: { accounts: [ACCOUNT], certificates: pem(aws.certificate), rejoin: true }, grant: { group: 'vm' } },
          {
            gcp: { audiences: ['https://tulle.example'], projects: ['acme'], jwks: google.jwks },
            grant: { group: 'vm' },
          },
          {
            azure: {
              subscriptions: ['8d10da13-8125-4ba9-a717-bf7490507b3d'],
              trustedRoots: pem(azureRoot.certificate),
            },
            grant: { group: 'vm' },
          },
        ]),
        policy('hosts', [
          {
            certificate: {
              trustedRoots: pem(corporate.certificate),
              subjectAltNames: [{ uri: { prefix: 'spiffe://corp.example/host/' } }],
            },
            grant: { group: 'db' },
          },
        ]),
      ),
    );
    await until('the keys of the provider are fetched', async () => {
      const oidcTokenFile = await tokenFile(await providerToken());
      return (await attempt('node', 'oidc', { options: { oidcTokenFile } })).code === 0;
    });
  });
  afterAll(async () => {
    await metadata?.close();
    await mesh.stop();
  });

  it.each(RUNTIMES)('%s: a token of an OpenID provider, from a file, once', async (runtime) => {
    const oidcTokenFile = await tokenFile(await providerToken());
    const answer = await joined(attempt(runtime, 'oidc', { options: { oidcTokenFile } }));
    expect(answer).toMatchObject({
      spiffeId: 'spiffe://cluster.local/ns/default/sa/ci-sa',
      group: 'ci',
      labels: { app: 'ci', from: 'provider' },
      ports: { http: 8080 },
      ephemeral: true,
    });
    expect(new X509Certificate(answer.certificateChain).subjectAltName).toContain(answer.spiffeId);
    const again = await refused(attempt(runtime, 'oidc', { options: { oidcTokenFile } }));
    expect(again).toContain('the evidence was used already');
  });

  it.each(RUNTIMES)('%s: a token of GitHub Actions, for the audience of the policy alone', async (runtime) => {
    const answer = await joined(attempt(runtime, 'oidc', { options: { audience: 'tulle' } }));
    expect(answer).toMatchObject({ serviceAccount: 'workflow-sa', group: 'workflow' });
    const other = await refused(attempt(runtime, 'oidc', { options: { audience: 'other' } }));
    expect(other).toContain('no JoinPolicy accepts this evidence');
    expect(other).not.toMatch(/acme|workflows/);
    const why = 'JoinPolicy default/workflows rules[0]: aud names none of its audiences';
    await until('the log says why', () => mesh.control.output.includes(why));
  });

  it.each(RUNTIMES)('%s: instances of AWS, Google Cloud and Azure', async (runtime) => {
    const options = { audience: 'https://tulle.example', azureMetadata: `http://127.0.0.1:${metadata.port}` };
    const answers = ['aws', 'gcp', 'azure'].map((kind) => joined(attempt(runtime, kind, { options })));
    const vm = { serviceAccount: 'vm-sa', group: 'vm' };
    expect(await Promise.all(answers)).toMatchObject([vm, vm, vm]);
  });

  it.each(RUNTIMES)('%s: a certificate of another authority, with its key', async (runtime) => {
    const certificateFile = join(mesh.folder, 'host.pem');
    const keyFile = join(mesh.folder, 'host-key.pem');
    await writeFile(certificateFile, host.cert);
    await writeFile(keyFile, host.key);
    const options = { certificateFile, keyFile };
    expect(await joined(attempt(runtime, 'certificate', { options }))).toMatchObject({ serviceAccount: 'db-sa' });
    const asked = { group: 'vm' };
    expect(await refused(attempt(runtime, 'certificate', { options, asked }))).toContain('no JoinPolicy accepts');
  });

  it('is refused once the policy is gone, and where the hash of the root is another one', async () => {
    const options = { audience: 'tulle' };
    const other = { options, rootHash: '0'.repeat(64) };
    expect(await refused(attempt('node', 'oidc', other))).toContain('another root certificate');
    const disabled = policy('workflows', [
      {
        oidc: {
          issuer: actions.issuer,
          audiences: ['tulle'],
          claims: { sub: { prefix: 'repo:' } },
          jwks: actions.jwks,
        },
        grant: { group: 'workflow' },
      },
    ]);
    await mesh.apply(yaml({ ...disabled, spec: { ...disabled.spec, disabled: true } }));
    await until('the policy is out of force', async () => (await attempt('node', 'oidc', { options })).code === 1);
  });

  it('is refused while the keys of the issuer were never fetched, which the status of the policy says', async () => {
    const away = { issuer: 'http://127.0.0.1:1', audiences: [AUDIENCE], claims: { sub: { exact: 'x' } } };
    await mesh.apply(yaml(policy('away', [{ oidc: away, grant: { group: 'ci' } }])));
    await until('the condition', async () => {
      const { status } = await mesh.api.call<Resource>(
        'GET',
        '/apis/tulle.dev/v1alpha1/namespaces/default/joinpolicies/away',
      );
      const { conditions = [] } = (status ?? {}) as { conditions?: Record<string, string>[] };
      return conditions.some(
        ({ reason, message }) => reason === 'KeysNotAvailable' && message?.startsWith('spec.rules[0].oidc.issuer: '),
      );
    });
  });
});
