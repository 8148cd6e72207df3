/** What a request costs in the proxy's own code alone, without sockets: see own-code.child.ts and own-code-http2.child.ts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { outputOf } from '../kit/process.ts';
import { plainBootstrap, sidecarBootstrap } from './bootstrap.ts';

export interface OwnCode {
  readonly runtime: RuntimeName;
  readonly scenario: string;
  readonly cpuUs: number;
}

const CHILD = join(import.meta.dirname, 'own-code.child.ts');
const HTTP2_CHILD = join(import.meta.dirname, 'own-code-http2.child.ts');
const SCENARIOS = [
  { scenario: 'plain', child: CHILD, bootstrap: plainBootstrap({ port: 1 }) },
  { scenario: 'sidecar', child: CHILD, bootstrap: sidecarBootstrap({ port: 1 }) },
  { scenario: 'http2-plain', child: HTTP2_CHILD, bootstrap: plainBootstrap({ port: 1, http2: true }) },
  { scenario: 'http2-sidecar', child: HTTP2_CHILD, bootstrap: sidecarBootstrap({ port: 1, http2: true }) },
];

/** @throws Error when a runtime is absent or a request is not answered */
export function measureOwnCode(folder: string, runtimes: readonly RuntimeName[]): OwnCode[] {
  return runtimes.flatMap((runtime) =>
    SCENARIOS.map(({ scenario, child, bootstrap }) => {
      const file = join(folder, `own-code-${scenario}.json`);
      writeFileSync(file, JSON.stringify(bootstrap));
      const [command, ...args] = runtimeCommand(runtime, child);
      const out = outputOf(command!, [...args, file], { limitMs: 600_000 });
      const { nsPerRequest } = JSON.parse(out.trim().split('\n').at(-1)!) as { nsPerRequest: number };
      return { runtime, scenario, cpuUs: nsPerRequest / 1000 };
    }),
  );
}

export function ownCodeLine(all: readonly OwnCode[]): string {
  const parts = all.map(({ runtime, scenario, cpuUs }) => `${runtime} ${scenario} ${cpuUs.toFixed(1)}`);
  return `\nown code, CPU us per request without sockets: ${parts.join(', ')}`;
}
