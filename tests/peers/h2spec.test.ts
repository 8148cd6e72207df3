/** h2spec, whose tests follow RFC 7540 and RFC 7541 section by section, against a proxy in front of an application. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { goPeer } from '../kit/go-peers.ts';
import { run } from '../kit/process.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';
import { type Backend, startBackend } from './backend.ts';
import { peersBootstrap } from './bootstrap.ts';

const H2SPEC = goPeer('h2spec');
/** The proxy may not pass these; docs/http2.md gives the reason for each. */
const MISSES: ReadonlySet<string> = new Set([]);

/** The tests that failed, as `section: what it sends`, of a JUnit report. */
function failures(report: string): { readonly total: number; readonly failed: readonly string[] } {
  const cases = [
    ...report.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(\/>|>([\s\S]*?)<\/testcase>)/g),
  ];
  const failed = cases.filter(([, , , , body]) => body !== undefined && /<(failure|error)/.test(body));
  return { total: cases.length, failed: failed.map(([, section, what]) => `${section}: ${what}`) };
}

describe.skipIf(H2SPEC === undefined)('h2spec', () => {
  const folder = temporaryFolder();
  let backend: Backend;
  beforeAll(async () => {
    backend = await startBackend();
  });
  afterAll(() => {
    backend.stop();
    folder.dispose();
  });

  describe.each(RUNTIMES)('on %s', (runtime) => {
    let proxy: RunningProxy;
    beforeAll(async () => {
      const { port } = backend;
      proxy = await startTulle(runtime, peersBootstrap({ http: port, websocket: port, tcp: port }), folder.path);
    });
    afterAll(async () => {
      await proxy?.stop();
    });

    it('passes all but the tests that docs/http2.md names', async () => {
      const report = join(folder.path, `h2spec-${runtime}.xml`);
      const address = ['-h', '127.0.0.1', '-p', String(proxy.ports['gateway'])];
      await run(H2SPEC!, [...address, '--timeout', '5', '-P', '/direct', '-j', report]);
      const { total, failed } = failures(readFileSync(report, 'utf8'));
      expect(total).toBe(145);
      expect(failed.filter((one) => !MISSES.has(one))).toEqual([]);
    });
  });
});
