import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], exclude: string[] = []) => ({
  extends: true as const,
  test: { name, include, exclude, setupFiles: ['tests/kit/leftovers.ts'] },
});

export default defineConfig({
  test: {
    // Machines are shared and slow at times: tests wait for conditions, so only a hang ever meets these limits.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      // Beside the code, in one process. `npm run check` runs these alone.
      project('unit', ['{shared,control,edge-proxy,deploy}/**/*.test.ts', 'tests/*.test.ts']),
      // Proxies, control planes and commands as processes of their own.
      project('process', ['tests/*/**/*.test.ts'], ['tests/{fuzz,interop,peers}/**']),
      // Beside other programs: Envoy, kubectl, llhttp, RE2, browsers, databases.
      project('interop', ['tests/{fuzz,interop,peers}/**/*.test.ts']),
    ],
  },
});
