/** Reports what was answered to whom. */
import type { MiddlewareHandler } from 'hono';
import type { ControlEvents } from '../telemetry/events.ts';
import { callerName } from './access/permission.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { ApiError } from './resources/status.ts';

/** Outside of all other middleware: what they refuse is reported, too. */
export function observe(events: Pick<ControlEvents, 'answered'>): MiddlewareHandler<ApiEnv> {
  return async function observe(c, next) {
    await next();
    const { method, path } = c.req;
    // Absent where it was refused before it was known.
    const caller: Caller | undefined = c.get('caller');
    events.answered({
      method,
      path,
      status: c.res.status,
      caller: nameOf(caller),
      isUser: caller?.kind === 'user',
      address: c.env?.remoteAddress,
      dryRun: c.get('dryRun') === true,
      reason: reasonOf(c.error, c.res.status),
    });
  };
}

const nameOf = (caller: Caller | undefined): string =>
  caller === undefined || caller.kind === 'anonymous' ? 'anonymous' : callerName(caller);

/** What the client got to read; details of internal errors are logged by themselves. */
export function reasonOf(error: Error | undefined, status: number): string | undefined {
  if (status < 400) return undefined;
  return error instanceof ApiError || status < 500 ? error?.message : undefined;
}
