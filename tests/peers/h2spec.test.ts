/**
 * h2spec, whose 145 tests follow RFC 7540 and RFC 7541 section by section, against a proxy in front of an application: where
 * the proxy tells HTTP/2 from HTTP/1.1 by the first bytes, and where it speaks HTTP/2 alone.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { any, at, filter, prefix, to } from '../interop/harness/bootstrap-parts.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { peers } from '../kit/peers.ts';
import { run } from '../kit/process.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';

const H2SPEC = peers('h2spec')?.h2spec;
/** By codec_type. docs/http2.md gives the reason. */
const MISSES = {
  AUTO: ['http2/3.5: Sends invalid connection preface'],
  HTTP2: [],
} as const;

const listener = (codec_type: string) => ({
  name: codec_type,
  address: at(0),
  filter_chains: [
    {
      filters: [
        {
          name: codec_type,
          typed_config: any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
            stat_prefix: codec_type,
            codec_type,
            route_config: {
              virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ ...prefix('/'), ...to('app') }] }],
            },
            http_filters: [filter('router.v3.Router')],
          }),
        },
      ],
    },
  ],
});

const bootstrap = (port: number) => ({
  node: { id: 'h2spec', cluster: 'h2spec' },
  admin: { address: at(0) },
  static_resources: {
    listeners: Object.keys(MISSES).map(listener),
    clusters: [
      {
        name: 'app',
        type: 'STATIC',
        connect_timeout: '5s',
        load_assignment: {
          cluster_name: 'app',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }],
        },
      },
    ],
  },
});

/** The tests of a JUnit report that failed, as `section: what it sends`. */
function readReport(report: string): { readonly total: number; readonly failed: readonly string[] } {
  const cases = [
    ...report.matchAll(/<testcase\s+package="([^"]*)"\s+classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs),
  ];
  const failed = cases.filter(([, , , inside]) => inside !== undefined && /<(failure|error)/.test(inside));
  return { total: cases.length, failed: failed.map(([, section, what]) => `${section}: ${what}`) };
}

describe.skipIf(H2SPEC === undefined)('h2spec', () => {
  const folder = temporaryFolder();
  /** Reads requests to their end, and survives those that end early. */
  const app = http.createServer((request, response) => {
    request.on('error', () => undefined);
    request.on('end', () => response.end('hello'));
    request.resume();
  });
  beforeAll(() => new Promise<void>((done) => void app.listen(0, '127.0.0.1', done)));
  afterAll(() => {
    app.close();
    app.closeAllConnections();
    folder.dispose();
  });

  describe.each(RUNTIMES)('on %s', (runtime) => {
    let proxy: RunningProxy;
    beforeAll(async () => {
      proxy = await startTulle(runtime, bootstrap((app.address() as AddressInfo).port), folder.path);
    });
    afterAll(async () => {
      await proxy?.stop();
    });

    it.each(['AUTO', 'HTTP2'] as const)('with codec_type %s', async (codec) => {
      const report = join(folder.path, `${runtime}-${codec}.xml`);
      // Its time limit is what a test waits for that fails.
      const address = ['-h', '127.0.0.1', '-p', String(proxy.ports[codec]), '--timeout', '10'];
      await run(H2SPEC!, [...address, '-j', report]);
      const { total, failed } = readReport(readFileSync(report, 'utf8'));
      expect(total).toBe(145);
      expect(failed).toEqual(MISSES[codec]);
    });
  });
});
