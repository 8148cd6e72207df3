/**
 * A proxy that is pushed to, run on each runtime. Reads one JSON object a line on standard input, `{changes}` or `{}`,
 * and answers each with one line: {faults, ports, rss, active}. With `filters` as its second argument, every connection
 * manager has the filters of test-filters.ts before its own.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { Admission } from '../../edge-proxy/overload/admission.ts';
import { OverloadState } from '../../edge-proxy/overload/overload-state.ts';
// biome-ignore lint/suspicious/noShadowRestrictedNames: the mesh proxy
import { Proxy } from '../../edge-proxy/proxy.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import { Stats } from '../../edge-proxy/telemetry/stats.ts';
import type { Changes } from '../../edge-proxy/xds/apply.ts';
import { proxyCompilers } from '../../edge-proxy/xds/compilers.ts';
import { testFilters } from './test-filters.ts';

const runtime = currentRuntime();
const drainMs = Number(runtime.process.args[0]);
const admission = new Admission(new Stats(), new OverloadState(Math.random), undefined, drainMs);
const own = proxyCompilers(
  { runtime, trustDomain: undefined },
  () => [],
  () => [],
);
const compilers: typeof own = {
  ...own,
  compileHttpFilters: (config, call) => [
    ...(runtime.process.args[1] === 'filters' ? testFilters(call) : []),
    ...own.compileHttpFilters(config, call),
  ],
};
const proxy = new Proxy(runtime, { compilers, admission });

for await (const line of createInterface({ input: process.stdin })) {
  const { changes } = JSON.parse(line) as { changes?: Changes };
  const faults = changes ? await proxy.apply(changes) : new Map<string, string>();
  runtime.process.writeOut(
    JSON.stringify({
      faults: [...faults],
      ports: Object.fromEntries([...proxy.bound].map(([name, { port }]) => [name, port])),
      rss: runtime.process.residentBytes(),
      active: admission.active,
    }),
  );
}
process.exit(0);
