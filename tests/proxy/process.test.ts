import { createHash, X509Certificate } from 'node:crypto';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { ANY, at, clientTls, cluster, hcm, listener, serverTls, tcp } from './bootstrap.ts';

const ID = 'spiffe://cluster.local/ns/default/sa/';

/** Sends, half-closes, gathers the answer until the close. */
function talk(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(text));
    socket.on('data', (bytes) => (got += bytes));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('close', () => resolve(got));
  });
}

function secureTalk(port: number, options: tls.ConnectionOptions, send = ''): Promise<{ got: string; serial: string }> {
  return new Promise((resolve) => {
    let got = '';
    let serial = '';
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }, () => {
      serial = socket.getPeerCertificate().serialNumber;
      if (send) socket.write(send);
      else if (options.servername === 'only-handshake') socket.destroy();
    });
    socket.on('data', (bytes) => (got += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve({ got, serial }));
  });
}

const get = async (port: number) => {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
  return { status: response.status, text: await response.text() };
};

const accessLog = [
  {
    name: 'stdout',
    typed_config: {
      '@type': `${ANY}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`,
      log_format: {
        json_format: {
          log: 'tcp',
          cluster: '%UPSTREAM_CLUSTER%',
          code: '%RESPONSE_CODE%',
          flags: '%RESPONSE_FLAGS%',
          received: '%BYTES_RECEIVED%',
          sent: '%BYTES_SENT%',
          ended: '%CONNECTION_TERMINATION_DETAILS%',
        },
      },
    },
  },
];
const loggedTcp = (to: string) => {
  const filter = tcp(to);
  return { ...filter, typed_config: { ...filter.typed_config, access_log: accessLog } };
};
const rbac = (action: string, prefix: string) => ({
  name: 'envoy.filters.network.rbac',
  typedConfig: {
    '@type': `${ANY}envoy.extensions.filters.network.rbac.v3.RBAC`,
    statPrefix: 'tcp.',
    rules: {
      action,
      policies: {
        'ns[foo]-policy[bar]-rule[0]': {
          permissions: [{ any: true }],
          principals: [{ directRemoteIp: { addressPrefix: prefix, prefixLen: 8 } }],
        },
      },
    },
  },
});

/** Key material in `folder/data`, swapped whole as Kubernetes and Istio's agent do: a symbolic link is renamed. */
class Material {
  readonly folder: string;
  private version = 0;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder);
  }

  put(own: Leaf, roots: Authority): void {
    const name = `v${this.version++}`;
    mkdirSync(join(this.folder, name));
    writeFileSync(join(this.folder, name, 'cert.pem'), own.cert);
    writeFileSync(join(this.folder, name, 'key.pem'), own.key);
    writeFileSync(join(this.folder, name, 'root.pem'), pem(roots));
    symlinkSync(name, join(this.folder, 'next'));
    renameSync(join(this.folder, 'next'), join(this.folder, 'data'));
  }

  secrets(): object[] {
    const file = (name: string) => ({ filename: join(this.folder, 'data', name) });
    const watched_directory = { path: this.folder };
    return [
      {
        name: 'default',
        tls_certificate: { certificate_chain: file('cert.pem'), private_key: file('key.pem'), watched_directory },
      },
      { name: 'ROOTCA', validation_context: { trusted_ca: file('root.pem'), watched_directory } },
    ];
  }
}

describe.each(RUNTIMES)('a proxy from a file on %s', (runtime) => {
  const folder = temporaryFolder();
  const servers: (net.Server | http.Server)[] = [];
  const processes: ProxyProcess[] = [];
  const material = new Material(join(folder.path, 'inbound'));
  const outMaterial = new Material(join(folder.path, 'outbound'));
  let root: Authority;
  let inbound: ProxyProcess;
  let outbound: ProxyProcess;
  let plainSeen = 0;
  const identity = (account: string, authority = root) => leaf(authority, { uri: `${ID}${account}` });
  const start = (config: object, name: string) => {
    const made = new ProxyProcess(runtime, join(folder.path, `${name}.json`), config);
    processes.push(made);
    return made;
  };
  const serve = (server: net.Server | http.Server) => {
    servers.push(server);
    return listening(server as net.Server);
  };

  beforeAll(async () => {
    root = await rootAuthority('mesh');
    material.put(await identity('b'), root);
    outMaterial.put(await identity('a'), root);
    const app = await serve(
      http.createServer(UPSTREAM, (r, w) => w.end(`xfcc ${r.headers['x-forwarded-client-cert'] ?? '-'}`)),
    );
    const echo = await serve(
      net.createServer({ allowHalfOpen: true }, (socket) => {
        let got = '';
        socket.on('data', (bytes) => (got += bytes));
        socket.on('end', () => socket.end(`echo:${got}`));
        socket.on('error', () => {});
      }),
    );
    const plain = await serve(net.createServer(() => plainSeen++));
    const own = await leaf(root, { uri: `${ID}site` });
    const site = await serve(tls.createServer({ cert: own.cert, key: own.key }, (socket) => socket.end('site')));
    const named = hcm('app');
    const details = {
      forward_client_cert_details: 'SANITIZE_SET',
      set_current_client_cert_details: { subject: true, uri: true, dns: true },
    };
    const inFilter = { ...named, typed_config: { ...named.typed_config, ...details } };
    inbound = start(
      {
        static_resources: {
          listeners: [listener('in', [inFilter], serverTls)],
          clusters: [cluster('app', app)],
          secrets: material.secrets(),
        },
        admin: { address: at(0) },
      },
      'in',
    );
    await inbound.ready();
    const missing = JSON.parse(JSON.stringify(clientTls).replace('"default"', '"missing"')) as object;
    outbound = start(
      {
        static_resources: {
          listeners: [
            listener('web', [hcm('app')]),
            listener('raw', [loggedTcp('echo')]),
            listener('dead', [loggedTcp('dead')]),
            listener('open', [rbac('ALLOW', '127.0.0.0'), loggedTcp('echo')]),
            listener('shut', [rbac('DENY', '127.0.0.0'), loggedTcp('echo')]),
            listener('other', [rbac('ALLOW', '10.0.0.0'), loggedTcp('echo')]),
            listener('mesh', [hcm('b')]),
            listener('unready', [hcm('unready')]),
            listener('unready-raw', [tcp('unready')]),
            {
              name: 'sni',
              address: at(0),
              filterChains: [{ filterChainMatch: { serverNames: ['*.example'] }, filters: [tcp('site')] }],
            },
          ],
          clusters: [
            cluster('app', app),
            cluster('echo', echo),
            cluster('dead', 1),
            cluster('site', site),
            cluster('b', inbound.ports['in']!, clientTls),
            cluster('unready', plain, missing),
          ],
          secrets: outMaterial.secrets(),
        },
        admin: { address: at(0) },
      },
      'out',
    );
    await outbound.ready();
  });

  afterAll(async () => {
    await Promise.all(processes.map((proxy) => proxy.stop('SIGKILL')));
    for (const server of servers) {
      if (server instanceof http.Server) server.closeAllConnections();
      server.close();
    }
    folder.dispose();
  });

  it('serves HTTP and a megabyte of TCP', async () => {
    expect(await get(outbound.ports['web']!)).toEqual({ status: 200, text: 'xfcc -' });
    const big = 'y'.repeat(1 << 20);
    expect((await talk(outbound.ports['raw']!, big)) === `echo:${big}`).toBe(true);
  });

  it('logs and counts TCP connections', async () => {
    expect(await talk(outbound.ports['raw']!, 'abc')).toBe('echo:abc');
    const line = await until('the log line', () => outbound.logged('echo').find(({ received }) => received === 3));
    expect(line).toEqual({ log: 'tcp', cluster: 'echo', code: 0, flags: '-', received: 3, sent: 8, ended: null });
    expect(await talk(outbound.ports['dead']!, 'x')).toBe('');
    const failed = await until('the failure', () => outbound.logged('dead')[0]);
    expect(failed['flags']).toBe('UF,URX');
    const text = await (await fetch(`http://127.0.0.1:${outbound.adminPort}/metrics`)).text();
    const count = (name: string, labels: string) =>
      Number(new RegExp(`^istio_tcp_${name}_total\\{[^}]*${labels}[^}]*\\} (\\d+)$`, 'm').exec(text)?.[1]);
    const ok = 'destination_service_name="echo"[^}]*response_flags="-"';
    expect(count('connections_opened', ok)).toBeGreaterThanOrEqual(1);
    expect(count('connections_closed', ok)).toBe(count('connections_opened', ok));
    expect(count('sent_bytes', ok)).toBeGreaterThanOrEqual(8);
    expect(count('received_bytes', ok)).toBeGreaterThanOrEqual(3);
    expect(count('connections_opened', 'response_flags="UF,URX"')).toBe(1);
  });

  it('admits by network RBAC before a byte goes upstream, and names the policy', async () => {
    expect(await talk(outbound.ports['open']!, 'x')).toBe('echo:x');
    expect(await talk(outbound.ports['shut']!, 'x')).toBe('');
    expect(await talk(outbound.ports['other']!, 'x')).toBe('');
    const reasons = await until('two denials', () => {
      const found = outbound.output.match(/rbac_access_denied_matched_policy\[[^"]*\]/g);
      return found?.length === 2 && found;
    });
    expect(reasons).toEqual([
      'rbac_access_denied_matched_policy[ns[foo]-policy[bar]-rule[0]]',
      'rbac_access_denied_matched_policy[none]',
    ]);
  });

  it('never dials in plaintext what should be TLS', async () => {
    expect((await get(outbound.ports['unready']!)).status).toBe(503);
    expect(await talk(outbound.ports['unready-raw']!, 'secret')).toBe('');
    expect(plainSeen).toBe(0);
  });

  it('passes TLS through by server name without ending it', async () => {
    expect((await secureTalk(outbound.ports['sni']!, { servername: 'www.example' })).got).toBe('site');
    expect((await secureTalk(outbound.ports['sni']!, { servername: 'www.other' })).got).toBe('');
  });

  it('speaks mTLS and tells the application who called, in Envoy’s words', async () => {
    const caller = await identity('caller');
    const ask = 'GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-client-cert: By=forged\r\nconnection: close\r\n\r\n';
    const { got } = await secureTalk(inbound.ports['in']!, { cert: caller.cert, key: caller.key }, ask);
    const hash = createHash('sha256').update(new X509Certificate(caller.cert).raw).digest('hex');
    expect(got).toContain(`xfcc By=${ID}b;Hash=${hash};Subject="CN=workload";URI=${ID}caller`);
    expect((await get(outbound.ports['mesh']!)).text).toContain(`URI=${ID}a`);
    expect(await talk(inbound.ports['in']!, ask)).toBe('');
  });

  it('takes rotated certificate files without a failed request, and a change of roots', async () => {
    const serial = async (authority: Authority) => {
      const caller = await identity('caller', authority);
      return (await secureTalk(inbound.ports['in']!, { ...caller, servername: 'only-handshake' })).serial;
    };
    const serialOf = (own: Leaf) => new X509Certificate(own.cert).serialNumber;
    const next = await identity('b');
    const statuses: number[] = [];
    material.put(next, root);
    outMaterial.put(await identity('a2'), root);
    await until('the new certificate', async () => {
      statuses.push((await get(outbound.ports['mesh']!)).status);
      const { text } = await get(outbound.ports['mesh']!);
      return text.includes(`URI=${ID}a2`) && (await serial(root)) === serialOf(next);
    });
    expect(new Set(statuses)).toEqual(new Set([200]));
    const other = await rootAuthority('other');
    const last = await identity('b', other);
    material.put(last, other);
    await until('the new root', async () => (await serial(other)) === serialOf(last));
    // Connections of the old root live on; no new one is let in.
    const late = await identity('late');
    const ask = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
    expect((await secureTalk(inbound.ports['in']!, { cert: late.cert, key: late.key }, ask)).got).toBe('');
    outMaterial.put(await identity('a3', other), other);
    await until('both on the new root', async () => (await get(outbound.ports['mesh']!)).text.includes(`${ID}a3`));
  });

  it('says in one line why it does not start', async () => {
    const busy = start(
      { static_resources: { listeners: [listener('l', [tcp('x')], undefined, outbound.ports['raw'])] } },
      'busy',
    );
    const unknown = start({ static_resources: { listeners: [{ name: 'a', addres: {} }] } }, 'unknown');
    expect([await busy.exited, await unknown.exited]).toEqual([1, 1]);
    expect(busy.output).toMatch(/cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
    expect(unknown.output).toMatch(/staticResources\.listeners\[0\].*addres/);
    expect(busy.output + unknown.output).not.toContain('    at ');
  });
});
