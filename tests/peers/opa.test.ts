/** A CUSTOM policy whose provider is Open Policy Agent: Rego decides by the CheckRequest of a compiled sidecar. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { any, at, filter, listener, manager, staticCluster, to } from '../interop/harness/bootstrap-parts.ts';
import { type Echo, startEcho } from '../interop/harness/echo.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { peers } from '../kit/peers.ts';
import { freePorts } from '../kit/ports.ts';
import { Program } from '../kit/process.ts';
import { startTulle } from '../kit/proxy.ts';

const found = peers('opa-authorizer');

const POLICY = `package mesh

http := input.attributes.request.http

default decision := {"allow": false, "status": 403, "body": "denied by policy", "headers": {"x-reason": "default"}}

decision := {"allow": true, "headers": {"x-user": sprintf("%s of %s", [http.headers["x-name"], http.host])}} if {
  http.method == "GET"
  startswith(http.path, "/public/")
}

decision := {"allow": true, "headers": {}} if {
  http.method == "POST"
  json.unmarshal(http.body).amount < 100
}

decision := {"allow": false, "status": 401, "body": "say who you are", "headers": {"www-authenticate": "Basic"}} if {
  http.path == "/account"
  not http.headers.authorization
}
`;

describe.skipIf(!found)('Open Policy Agent decides', () => {
  const folder = temporaryFolder();
  let authorizer: Program;
  let echo: Echo;
  let bootstrap: object;

  beforeAll(async () => {
    echo = await startEcho('app');
    const policy = join(folder.path, 'policy.rego');
    writeFileSync(policy, POLICY);
    const [port] = await freePorts(1);
    authorizer = new Program('opa', [found!['opa-authorizer'], `127.0.0.1:${port}`, policy, 'data.mesh.decision']);
    await authorizer.line((text) => (text.includes('listening') ? text : undefined), 60_000);
    const extAuthz = filter('ext_authz.v3.ExtAuthz', {
      grpc_service: { envoy_grpc: { cluster_name: 'opa' }, timeout: '10s' },
      transport_api_version: 'V3',
      with_request_body: { max_request_bytes: 1024 },
    });
    const hosts = [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...to('app') }] }];
    bootstrap = {
      node: { id: 'opa', cluster: 'opa' },
      admin: { address: at(0) },
      static_resources: {
        listeners: [listener('in', manager([], [extAuthz], {}, hosts))],
        clusters: [
          staticCluster('app', echo.port),
          staticCluster('opa', port, {
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
                explicit_http_config: { http2_protocol_options: {} },
              }),
            },
          }),
        ],
      },
    };
  });
  afterAll(async () => {
    await authorizer?.stop();
    echo?.stop();
    folder.dispose();
  });

  it.each(RUNTIMES)('on %s', async (runtime) => {
    const proxy = await startTulle(runtime, bootstrap, folder.path);
    try {
      const url = `http://127.0.0.1:${proxy.ports['in']}`;
      const passed = await fetch(`${url}/public/x`, { headers: { 'x-name': 'ann', 'x-user': 'forged' } });
      const { headers } = (await passed.json()) as { headers: [string, string][] };
      expect(headers.filter(([name]) => name === 'x-user')).toEqual([
        ['x-user', `ann of 127.0.0.1:${proxy.ports['in']}`],
      ]);
      const denied = await fetch(`${url}/private`);
      expect([denied.status, denied.headers.get('x-reason'), await denied.text()]).toEqual([
        403,
        'default',
        'denied by policy',
      ]);
      const anonymous = await fetch(`${url}/account`);
      expect([anonymous.status, anonymous.headers.get('www-authenticate')]).toEqual([401, 'Basic']);
      const pay = (amount: number) => fetch(`${url}/pay`, { method: 'POST', body: JSON.stringify({ amount }) });
      expect([(await pay(99)).status, (await pay(100)).status]).toEqual([200, 403]);
      expect((await fetch(`${url}/pay`, { method: 'POST', body: 'x'.repeat(2000) })).status).toBe(413);
    } finally {
      await proxy.stop();
    }
  });
});
