/** /healthz, /livez and /readyz as Kubernetes answers them, whole (`?verbose`) and check by check (kubernetes.io/docs/reference/using-api/health-checks). */
import { type Context, Hono } from 'hono';
import type { ApiEnv } from '../caller.ts';

/** Rejects when what it checks does not work. */
export type Check = () => Promise<void>;

/**
 * Open to all callers, so that answers name checks and never reasons.
 * @param ready by name: what has to work before requests can be answered
 */
export function healthRoutes(ready: Readonly<Record<string, Check>>): Hono<ApiEnv> {
  const ping = { ping: async () => {} };
  const endpoints = { livez: ping, healthz: { ...ping, ...ready }, readyz: { ...ping, ...ready } };
  const app = new Hono<ApiEnv>();
  for (const [endpoint, checks] of Object.entries(endpoints)) {
    app.get(`/${endpoint}`, (c) => answer(c, endpoint, checks));
    app.get(`/${endpoint}/:check`, async (c, next) => {
      const name = c.req.param('check');
      if (!Object.hasOwn(checks, name)) return next();
      return answer(c, endpoint, { [name]: (checks as Record<string, Check>)[name]! });
    });
  }
  return app;
}

async function answer(
  c: Context<ApiEnv>,
  endpoint: string,
  checks: Readonly<Record<string, Check>>,
): Promise<Response> {
  const excluded = new Set(c.req.queries('exclude') ?? []);
  const lines: string[] = [];
  let failed = false;
  for (const [name, check] of Object.entries(checks)) {
    const result = excluded.has(name)
      ? 'excluded'
      : await check().then(
          () => '',
          () => 'failed',
        );
    failed ||= result === 'failed';
    lines.push(
      result === 'failed'
        ? `[-]${name} failed: reason withheld`
        : `[+]${name} ${result === '' ? 'ok' : 'excluded: ok'}`,
    );
  }
  if (failed) return c.text(`${lines.join('\n')}\n${endpoint} check failed\n`, 500);
  return c.text(c.req.query('verbose') === undefined ? 'ok' : `${lines.join('\n')}\n${endpoint} check passed\n`);
}
