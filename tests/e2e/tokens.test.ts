/** Users' tokens at gateways, from a real OpenID provider: discovery, rotation, outage, and what must not be fetched. */
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary } from '../../control/cli/runtimes.mjs';
import type { Resource } from '../../shared/resources/resource.ts';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import type { Program } from '../kit/process.ts';
import { gateway, meshService, port, virtualService, workloadEntry, yaml } from '../kit/resources.ts';
import { closeServers, listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';

interface Seen {
  readonly url: string;
  readonly headers: Record<string, string>;
}

/** Private keys of an issuer, one of each kind. */
function privateKeys(name: string): string {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  return JSON.stringify({ keys: [{ ...rsa, kid: name, use: 'sig', alg: 'RS256' }] });
}

describe('tokens of an OpenID provider', () => {
  const mesh = new LoopbackMesh();
  /** Where each gateway listens, by its runtime: a port of all addresses. */
  const ports = new Map<string, number>();
  const flags: string[] = [];
  let issuer = '';
  let issuerPort = 0;
  let provider: Program;
  /** Asked only by one who follows a redirect to it. */
  const internal = { asked: 0, server: http.createServer((_, answer) => answer.end(void internal.asked++)) };
  const redirecting = http.createServer((_, answer) => answer.writeHead(302, { location: internalUrl }).end());
  let internalUrl = '';
  let redirectingUrl = '';

  async function startProvider(keys: string): Promise<void> {
    const command = [nodeBinary(), join(ROOT, 'tests/e2e/issuer.mjs'), String(issuerPort), keys];
    provider = mesh.launch('issuer', command);
    await until('the provider answers', async () => (await fetch(`${issuer}/.well-known/openid-configuration`)).ok);
  }
  async function token(scope = 'read'): Promise<string> {
    const body = new URLSearchParams({ grant_type: 'client_credentials', scope });
    const authorization = `Basic ${btoa('mesh:meshsecret')}`;
    const answer = await fetch(`${issuer}/token`, { method: 'POST', body, headers: { authorization } });
    return ((await answer.json()) as { access_token: string }).access_token;
  }
  const call = (runtime: string, path: string, bearer?: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${ports.get(runtime)}${path}`, {
      headers: { ...headers, ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }) },
    });
  const statuses = (path: string, bearer?: string) =>
    Promise.all(RUNTIMES.map(async (runtime) => (await call(runtime, path, bearer)).status));
  const everywhere = (status: number) => RUNTIMES.map(() => status);
  const untilEverywhere = (what: string, path: string, bearer: string, status: number) =>
    until(what, async () => (await statuses(path, bearer)).every((one) => one === status));

  async function condition(name: string): Promise<string> {
    const path = `/apis/security.istio.io/v1/namespaces/default/requestauthentications/${name}`;
    const { status } = await mesh.api.call<Resource>('GET', path);
    const { conditions = [] } = (status ?? {}) as { conditions?: Record<string, string>[] };
    const { reason = '', message = '' } = conditions.find(({ type }) => type === 'Reconciled') ?? {};
    return `${reason}: ${message}`;
  }
  const tokens = (name: string, rule: object) => ({
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name, namespace: 'default' },
    spec: { selector: { matchLabels: { role: 'gateway' } }, jwtRules: [rule] },
  });

  beforeAll(async () => {
    const [own, ...others] = await freePorts(1 + RUNTIMES.length);
    issuerPort = own!;
    for (const [i, runtime] of RUNTIMES.entries()) ports.set(runtime, others[i]!);
    issuer = `http://127.0.0.1:${issuerPort}`;
    internalUrl = `http://127.0.0.1:${await listening(internal.server)}/secret`;
    const redirectingPort = await listening(redirecting);
    redirectingUrl = `http://127.0.0.1:${redirectingPort}/keys`;
    const hosts = [issuerPort, redirectingPort].map((one) => `127.0.0.1:${one}`);
    flags.push('--jwks-refresh', '1s', '--jwks-allow-host', ...hosts);
    await mesh.startControl({ flags });
    await startProvider(privateKeys('first'));
    const echo = mesh.address();
    await mesh.apply(
      yaml(
        meshService('echo'),
        workloadEntry('echo', echo),
        ...RUNTIMES.map((runtime) =>
          gateway(runtime, `gateway-${runtime}`, { port: port(ports.get(runtime)!), hosts: ['*'] }),
        ),
        virtualService('by-claim', {
          hosts: ['*'],
          gateways: [...RUNTIMES],
          http: [
            {
              match: [{ uri: { exact: '/by-claim' }, headers: { '@request.auth.claims.scope': { exact: 'write' } } }],
              directResponse: { status: 202, body: { string: 'a writer' } },
            },
            { route: [{ destination: { host: 'echo', port: { number: 9080 } } }] },
          ],
        }),
        tokens('users', {
          issuer,
          audiences: ['https://api.example'],
          outputClaimToHeaders: [{ header: 'x-user', claim: 'sub' }],
        }),
        {
          apiVersion: 'security.istio.io/v1',
          kind: 'AuthorizationPolicy',
          metadata: { name: 'users-only', namespace: 'default' },
          spec: {
            selector: { matchLabels: { role: 'gateway' } },
            action: 'DENY',
            rules: [
              {
                from: [{ source: { notRequestPrincipals: [`${issuer}/mesh`] } }],
                to: [{ operation: { paths: ['/users/*'] } }],
              },
            ],
          },
        },
      ),
    );
    const app = [join(ROOT, 'tests/e2e/worker-echo.ts'), '{port}'];
    await mesh.start({ name: 'echo', serviceAccount: 'echo', labels: { app: 'echo' }, runtime: 'node', app }, echo);
    await Promise.all(
      RUNTIMES.map(async (runtime) => {
        const name = `gateway-${runtime}`;
        const labels = { app: name, role: 'gateway' };
        await mesh.start({ name, serviceAccount: 'gateway', labels, runtime, type: 'router' });
      }),
    );
    const first = await token();
    await untilEverywhere('the gateways reach the service with a token', '/users/x', first, 200);
  });
  afterAll(async () => {
    closeServers(internal.server, redirecting);
    await mesh.stop();
  });

  it.each(RUNTIMES)('%s: prove their user, and reach the service as claims alone', async (runtime) => {
    const answer = await call(runtime, '/users/x', await token(), { 'x-user': 'forged' });
    const { headers } = (await answer.json()) as Seen;
    expect(headers['x-user']).toBe('mesh');
    expect(headers).not.toHaveProperty('authorization');
    const anonymous = await call(runtime, '/open', undefined, { 'x-user': 'forged' });
    expect(((await anonymous.json()) as Seen).headers).not.toHaveProperty('x-user');
    expect((await call(runtime, '/users/x')).status).toBe(403);
    expect((await call(runtime, '/open', 'garbage')).status).toBe(401);
    const good = await token();
    const forged = good.replace(
      /\.[^.]+\./,
      `.${btoa(JSON.stringify({ iss: issuer, sub: 'root' })).replace(/=+$/, '')}.`,
    );
    expect((await call(runtime, '/open', forged)).status).toBe(403);
  });

  it.each(RUNTIMES)('%s: choose routes by their claims', async (runtime) => {
    expect((await call(runtime, '/by-claim', await token('read write'))).status).toBe(202);
    expect((await call(runtime, '/by-claim', await token('read'))).status).toBe(200);
    expect((await call(runtime, '/by-claim')).status).toBe(200);
  });

  it('of new keys are accepted after a rotation, and those of the old keys no longer', async () => {
    const old = await token();
    await provider.stop();
    await startProvider(privateKeys('second'));
    const fresh = await token();
    await untilEverywhere('tokens of the new key are accepted', '/users/x', fresh, 200);
    await untilEverywhere('tokens of the old key are refused', '/users/x', old, 401);
  });

  it('are accepted while the provider is away, also when the control plane starts then', async () => {
    const good = await token();
    await provider.stop();
    await until('the outage is reported', async () => (await condition('users')).startsWith('KeysNotAvailable'));
    expect(await condition('users')).toContain('the keys that were fetched before stay in force');
    expect(await statuses('/users/x', good)).toEqual(everywhere(200));
    await mesh.control.stop();
    await mesh.startControl({ flags });
    // The gateways have polled the new control plane when they serve what it alone was given.
    const route = virtualService('since', {
      hosts: ['since.test'],
      gateways: [...RUNTIMES],
      http: [{ directResponse: { status: 204 } }],
    });
    await mesh.apply(yaml(route));
    await until('the gateways follow the new control plane', async () => {
      const answers = RUNTIMES.map((runtime) => statusOf(ports.get(runtime)!, 'since.test'));
      return (await Promise.all(answers)).every((status) => status === 204);
    });
    expect(await statuses('/users/x', good)).toEqual(everywhere(200));
  });

  it('whose keys are behind a redirect to the control plane’s own network are refused, and nothing is fetched there', async () => {
    await mesh.apply(yaml(tokens('sly', { issuer: 'https://sly.test', jwksUri: redirectingUrl })));
    await until('it is reported', async () => (await condition('sly')).startsWith('KeysNotAvailable'));
    expect(await condition('sly')).toMatch(
      /^KeysNotAvailable: spec\.jwtRules\[0\]\.jwksUri: 127\.0\.0\.1:\d+ has no public address; .*: tokens of its issuer are refused$/,
    );
    expect(internal.asked).toBe(0);
    const logged = mesh.control.lines.filter((line) => line.includes('RequestAuthentication default/sly'));
    expect(logged.join()).toContain('has no public address');
    await mesh.remove(yaml(tokens('sly', { issuer: 'https://sly.test' })));
  });
});

/** `fetch` does not let a client choose the Host. */
function statusOf(port: number, host: string): Promise<number> {
  return new Promise((done, fail) => {
    const request = http.get({ host: '127.0.0.1', port, headers: { host } }, (answer) => {
      answer.resume();
      done(answer.statusCode!);
    });
    request.on('error', fail);
  });
}
