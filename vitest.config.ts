import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], exclude: string[] = [], isolate = true) => ({
  extends: true as const,
  test: { name, include, exclude, isolate, setupFiles: ['tests/kit/leftovers.ts'] },
});

/** Beside the code: random cases and corpora of references, which take several seconds of processor time each. */
const LONG = [
  'control/api/reference-configs.test.ts',
  'control/compile/golden.test.ts',
  'control/compile/security/rbac-semantics.test.ts',
  'control/discovery/incremental.test.ts',
  'edge-proxy/listener/filter-chain-property.test.ts',
];

export default defineConfig({
  test: {
    // Machines are shared and slow at times: tests wait for conditions, so only a hang ever meets these limits.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      // Beside the code, in one process. `npm run check` runs these alone. Files share modules, which are loaded once a worker.
      project('unit', ['{shared,control,edge-proxy,machine,deploy}/**/*.test.ts', 'tests/*.test.ts'], LONG, false),
      project('properties', LONG),
      // Proxies, control planes and commands as processes of their own.
      project('process', ['tests/*/**/*.test.ts'], ['tests/{fuzz,interop,peers}/**']),
      // Beside other programs: Envoy, kubectl, llhttp, RE2, browsers, databases.
      project('interop', ['tests/{fuzz,interop,peers}/**/*.test.ts']),
    ],
  },
});
