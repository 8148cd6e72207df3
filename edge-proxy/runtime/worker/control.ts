/** The control API over a workerd service binding, which carries the mesh's trust bundle. */
import type { ControlResponse } from '../../control-client/control-client.ts';
import type { Fetcher } from './settings.ts';

export interface PostOptions {
  bearer?: string | undefined;
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
}

/** A POST of JSON, answered with JSON. @throws Error when the control plane cannot be reached in time */
export type Post = (path: string, body: unknown, options?: PostOptions) => Promise<ControlResponse>;

export function controlPost(control: Fetcher, url: string): Post {
  return async (path, body, { bearer, signal, timeoutMs = 10_000 } = {}) => {
    const limits = [AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])];
    const response = await control.fetch(new URL(path, url).href, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(bearer && { authorization: `Bearer ${bearer}` }) },
      body: JSON.stringify(body),
      signal: AbortSignal.any(limits),
      redirect: 'manual',
    });
    const answer: unknown = await response.json().catch(() => undefined);
    return { status: response.status, body: answer } as ControlResponse;
  };
}
