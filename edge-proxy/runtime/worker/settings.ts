/** The worker's settings: workerd bindings, checked once. */
import * as z from 'zod';

/** A service binding of workerd: fetch that reaches one place. */
export interface Fetcher {
  fetch(url: string, init?: RequestInit): Promise<Response>;
}

const Texts = z.object({
  /** `https://host:port`. */
  CONTROL_PLANE_URL: z.url(),
  /** Of the gateways it forwards to, `tulle-gateway.<namespace>`. */
  AUDIENCE: z.string().min(1),
  NAMESPACE: z.string().min(1),
  SERVICE_ACCOUNT: z.string().min(1),
  NAME: z.string().min(1),
  ADDRESS: z.string().min(1),
  /** Name of the RouteConfiguration to run, `http.8080`; '': forward everything to the gateway. */
  ROUTES: z.string(),
  /** JSON object: what a Gateway's selector sees. */
  LABELS: z.string().transform((text) => z.record(z.string(), z.string()).parse(JSON.parse(text))),
  /** Seconds that tokens for the gateway live. */
  SVID_TTL: z.coerce.number().int().min(10).max(3600),
  JOIN_TOKEN: z.string().min(1),
});

export type WorkerSettings = z.infer<typeof Texts>;
export type WorkerEnv = Record<string, unknown> & { CONTROL: Fetcher; GATEWAY: Fetcher };

/** @throws Error naming the bindings that are missing or wrong, never their values */
export function readSettings(env: WorkerEnv): WorkerSettings {
  const parsed = Texts.safeParse(env);
  if (parsed.success) return parsed.data;
  const names = [...new Set(parsed.error.issues.map(({ path }) => String(path[0])))];
  throw new Error(`worker bindings are missing or wrong: ${names.join(', ')}`);
}
