/** RequestAuthentication, claims in policies and claims in routes: the same resources, compiled, in a real Envoy and in Tulle. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { freePorts } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { gateway, port, virtualService, yaml } from '../../kit/resources.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';
import { authorityIn, svidFiles } from '../tls/svids.ts';
import { bootstrapOf, compile } from './compiled.ts';

const ISSUER = 'https://issuer.test';
const OTHER = 'https://other.test/';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }] });
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
function token(claims: object = {}): string {
  const exp = Math.floor(Date.now() / 1000) + 36_000;
  const text = `${part({ alg: 'ES256', kid: 'one' })}.${part({ iss: ISSUER, sub: 'alice', aud: 'shop', exp, ...claims })}`;
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}

const security = (kind: string, name: string, spec: object) => ({
  apiVersion: 'security.istio.io/v1',
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});
const authentication = security('RequestAuthentication', 'users', {
  selector: { matchLabels: { app: 'ingress' } },
  jwtRules: [
    {
      issuer: ISSUER,
      jwks,
      audiences: ['shop', 'https://shop.test'],
      outputPayloadToHeader: 'x-payload',
      outputClaimToHeaders: [
        { header: 'x-user', claim: 'sub' },
        { header: 'x-tenant', claim: 'tenant.id' },
        { header: 'x-admin', claim: 'admin' },
        { header: 'x-level', claim: 'level' },
      ],
      spaceDelimitedClaims: ['roles'],
    },
    { issuer: OTHER, jwks, fromHeaders: [{ name: 'x-other', prefix: 'JWT ' }], forwardOriginalToken: true },
  ],
});

const needs = (path: string, rule: object) => ({ to: [{ operation: { paths: [path] } }], ...rule });
const principals = (...requestPrincipals: string[]) => ({ from: [{ source: { requestPrincipals } }] });
const when = (key: string, values: { values?: string[]; notValues?: string[] }) => ({
  when: [{ key: `request.auth.${key}`, ...values }],
});
/** The last segment of a path names what it takes to be let in. */
const RULES: Record<string, object> = {
  open: {},
  user: principals('*'),
  alice: principals(`${ISSUER}/alice`),
  issuer: principals(`${ISSUER}/*`),
  suffix: principals('*/alice'),
  anonymous: { from: [{ source: { notRequestPrincipals: ['*'] } }] },
  notalice: { from: [{ source: { notRequestPrincipals: [`${ISSUER}/alice`] } }] },
  principal: when('principal', { values: [`${ISSUER}/alice`] }),
  audience: when('audiences', { values: ['shop'] }),
  presenter: when('presenter', { values: ['app'] }),
  group: when('claims[groups]', { values: ['admin', 'dev-*'] }),
  notgroup: when('claims[groups]', { notValues: ['guest'] }),
  nested: when('claims[tenant][id]', { values: ['t1'] }),
  scope: when('claims[scope]', { values: ['write'] }),
  roles: when('claims[roles]', { values: ['ops'] }),
  other: principals(`${OTHER}/alice`),
};
const policy = security('AuthorizationPolicy', 'users', {
  selector: { matchLabels: { app: 'ingress' } },
  rules: Object.entries(RULES).map(([name, rule]) => needs(`*/${name}`, rule)),
});

const claimRoute = (status: number, match: object) => ({
  match: [{ uri: { prefix: '/route' }, ...match }],
  directResponse: { status, body: { string: String(status) } },
});
const routes = (hosts: string[]) =>
  virtualService('by-claim', {
    hosts,
    gateways: ['ingress'],
    http: [
      claimRoute(211, { headers: { '@request.auth.claims.groups': { exact: 'admin' } } }),
      claimRoute(212, { headers: { '@request.auth.claims[tenant][id]': { prefix: 't' } } }),
      claimRoute(213, { headers: { '@request.auth.claims.scope': { exact: 'write' } } }),
      claimRoute(214, { headers: { '@request.auth.claims[level]': {} } }),
      claimRoute(215, { headers: { '@request.auth.claims.sub': { regex: 'b.b' } } }),
      claimRoute(216, { withoutHeaders: { '@request.auth.claims.iss': { exact: ISSUER } } }),
      { route: [{ destination: { host: 'echo.test', port: { number: 80 } } }] },
    ],
  });

const TOKENS: Record<string, string | undefined> = {
  none: undefined,
  plain: token(),
  bob: token({ sub: 'bob' }),
  admin: token({ groups: ['staff', 'admin'], admin: true, level: 5 }),
  dev: token({ groups: 'dev-7' }),
  guest: token({ groups: ['guest'] }),
  tenant: token({ tenant: { id: 't1' }, azp: 'app' }),
  writer: token({ scope: 'read write', roles: 'ops dev' }),
  level: token({ level: null }),
  audiences: token({ aud: ['x', 'shop'] }),
  'wrong-audience': token({ aud: 'x' }),
  'unknown-issuer': token({ iss: 'https://unknown.test' }),
  'other-issuer': token({ iss: OTHER }),
  garbage: 'garbage',
};

describe.skipIf(!ENVOY)('tokens at a compiled gateway, in a real Envoy', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  let echo: Echo;
  let listening = 0;
  let bootstrap: object;
  let expected: readonly object[];

  beforeAll(async () => {
    echo = await startEcho('echo');
    [listening] = (await freePorts(1)) as [number];
    const own = await svidFiles(await authorityIn(`${folder.path}/ca`), folder.path, 'ingress');
    const file = join(folder.path, 'resources.yaml');
    const service = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'echo', namespace: 'default' },
      spec: {
        hosts: ['echo.test'],
        location: 'MESH_EXTERNAL',
        resolution: 'STATIC',
        ports: [port(80)],
        endpoints: [{ address: '127.0.0.1', ports: { http: echo.port } }],
      },
    };
    const ingress = gateway('ingress', 'ingress', { port: port(listening), hosts: ['*'] });
    writeFileSync(file, yaml(service, ingress, routes(['*']), authentication, policy));
    const node = {
      id: 'router~127.0.0.1~ingress.default~default.svc.cluster.local',
      metadata: { NAMESPACE: 'default', LABELS: { app: 'ingress' }, INTERCEPTION_MODE: 'NONE' },
    };
    bootstrap = bootstrapOf(compile([file], node, folder.path), own);
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    echo.stop();
    folder.dispose();
  });

  const requests = [...Object.keys(RULES), 'unnamed'].flatMap((rule) =>
    Object.entries(TOKENS).map(([name, value]) => ({ rule, name, value })),
  );
  async function answer(target: string, headers: string): Promise<object> {
    const bytes = `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n${headers}\r\n`;
    const { responses } = await exchange(listening, bytes, ['GET']);
    const { status, headers: fields, body } = responses[0]!;
    const kept = fields.filter(([key]) => key === 'www-authenticate');
    return { target, status, kept, body: ofTokens(body) };
  }
  async function answers(): Promise<readonly object[]> {
    const out: object[] = [];
    for (const { rule, name, value } of requests) {
      const authorization = value === undefined ? '' : `Authorization: Bearer ${value}\r\n`;
      out.push({ name, ...(await answer(`/${rule}`, `${authorization}X-User: forged\r\nX-Payload: forged\r\n`)) });
    }
    for (const [name, value] of Object.entries(TOKENS)) {
      const authorization = value === undefined ? '' : `Authorization: Bearer ${value}\r\n`;
      out.push({ name, ...(await answer('/route/open', authorization)) });
    }
    const other = `X-Other: JWT ${TOKENS['other-issuer']}\r\n`;
    const own = `Authorization: Bearer ${TOKENS['plain']}\r\n`;
    for (const rule of ['open', 'other', 'alice', 'user'])
      for (const headers of [other, other + own, 'X-Other: JWT bad\r\n', `X-Other: JWT bad\r\n${own}`])
        out.push(await answer(`/${rule}`, headers));
    out.push(await answer(`/alice?access_token=${TOKENS['plain']}`, ''));
    return out;
  }
  const statusOf = (rule: string, name: string) =>
    (expected as { target: string; name?: string; status: number }[]).find(
      (one) => one.target === `/${rule}` && one.name === name,
    )?.status;

  it('is valid, and Envoy lets in and routes as the resources say', async () => {
    const file = join(folder.path, 'validate.json');
    const quiet = JSON.stringify(bootstrap).replaceAll('/dev/stdout', '/dev/null');
    writeFileSync(file, quiet);
    expect(envoyErrors(file)).toBe('');
    proxies.push(await startEnvoy(JSON.parse(quiet) as object, folder.path, 'tokens'));
    expected = await answers();
    const said = (rule: string) => Object.keys(TOKENS).filter((name) => statusOf(rule, name) === 200);
    const refused = ['wrong-audience', 'unknown-issuer', 'other-issuer', 'garbage'];
    const accepted = Object.keys(TOKENS).filter((name) => !refused.includes(name));
    const ofUsers = accepted.filter((name) => name !== 'none');
    const ofAlice = ofUsers.filter((name) => name !== 'bob');
    expect(said('open')).toEqual(accepted);
    for (const rule of ['user', 'issuer']) expect([rule, said(rule)]).toEqual([rule, ofUsers]);
    for (const rule of ['alice', 'suffix', 'principal']) expect([rule, said(rule)]).toEqual([rule, ofAlice]);
    expect(said('anonymous')).toEqual(['none']);
    expect(said('notalice')).toEqual(['none', 'bob']);
    expect(said('audience')).toEqual(ofUsers);
    expect(said('presenter')).toEqual(['tenant']);
    expect(said('group')).toEqual(['admin', 'dev']);
    expect(said('notgroup')).toEqual(accepted.filter((name) => name !== 'guest'));
    expect(said('nested')).toEqual(['tenant']);
    expect([said('scope'), said('roles')]).toEqual([['writer'], ['writer']]);
    expect(said('unnamed')).toEqual([]);
    expect(Object.keys(TOKENS).map((name) => statusOf('route/open', name))).toEqual([
      216, 200, 215, 211, 200, 200, 212, 213, 214, 200, 403, 401, 401, 401,
    ]);
  });

  it.each(RUNTIMES)('Tulle on %s answers the same', async (runtime) => {
    // The listener has a fixed port: one proxy at a time.
    await proxies.pop()?.stop();
    proxies.push(await startTulle(runtime, bootstrap, folder.path));
    const found = await answers();
    expect(found.filter((one, i) => JSON.stringify(one) !== JSON.stringify(expected[i]))).toEqual([]);
    expect(found).toHaveLength(expected.length);
  });
});

/** What tokens become: others of the headers differ by the machine's address, and are compared elsewhere. */
const OF_TOKENS = new Set(['authorization', 'x-other', 'x-payload', 'x-user', 'x-tenant', 'x-admin', 'x-level']);
function ofTokens(body: string): unknown {
  if (!body.startsWith('{"upstream":')) return body;
  const { target, headers } = JSON.parse(body) as { target: string; headers: [name: string, value: string][] };
  return { target, headers: headers.filter(([name]) => OF_TOKENS.has(name)) };
}
