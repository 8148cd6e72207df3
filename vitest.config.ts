import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{shared,control,edge-proxy,deploy,tests}/**/*.test.ts'],
    // Machines are shared and slow at times: tests wait for conditions, so only a hang ever meets these limits.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
