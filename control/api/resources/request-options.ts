/** Query parameters and options that several verbs take. */
import type { Context } from 'hono';
import type { ApiEnv } from '../caller.ts';
import { badRequest, invalidOptions } from './status.ts';

type C = Context<ApiEnv>;

export function isDryRun(c: C, option?: unknown): boolean {
  const asked = [...(c.req.queries('dryRun') ?? []), ...(Array.isArray(option) ? option : [])];
  if (asked.some((value) => value !== 'All')) {
    const message = `Unsupported value: ${JSON.stringify(asked).slice(0, 64)}: supported values: "All"`;
    throw invalidOptions(optionsOf(c), { path: 'dryRun', rule: 'enum', message });
  }
  if (asked.length > 0) c.set('dryRun', true);
  return asked.length > 0;
}

const OPTIONS: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
  DELETE: 'DeleteOptions',
};

/** Kubernetes' name for the options of a request. */
export const optionsOf = (c: Context): string => OPTIONS[c.req.method] ?? 'ListOptions';

export const isTrue = (value: string | undefined) => value === 'true' || value === '1';

export function parseRevision(c: C): number | undefined {
  const text = c.req.query('resourceVersion');
  if (!text) return undefined;
  if (!/^(0|[1-9][0-9]{0,14})$/.test(text)) throw badRequest(`resourceVersion: Invalid value: "${text.slice(0, 40)}"`);
  return Number(text);
}

/** The requested timeout, else 30 to 60 minutes at random, so that clients do not reconnect at once. */
export function watchTimeoutMs(text: string | undefined): number {
  if (!text) return (30 + Math.random() * 30) * 60_000;
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 0) throw badRequest('timeoutSeconds: must be a whole number of seconds');
  return Math.min(seconds || 1800, 86_400) * 1000;
}
