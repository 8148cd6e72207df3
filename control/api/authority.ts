/** The certificate authority over HTTP, for the administrator: its roots, and their change. */
import { Hono } from 'hono';
import * as z from 'zod';
import { RotationError } from '../ca/authority.ts';
import type { CaShown, RotationDriver } from '../ca/rotation/root-rotation.ts';
import { permission } from './access/permission.ts';
import type { ApiEnv } from './caller.ts';
import { readRequest, rfc3339 } from './identity-body.ts';
import { ApiError, respondToError } from './resources/status.ts';

const RetireRequest = z.strictObject({ force: z.boolean().optional() });
const LIMITS = { bytes: 1024, timeoutMs: 10_000, depth: 2, values: 4 };

/**
 * - `GET /v1/ca` -> {phase, roots: [{subject, sha256, notAfter, issues}], waitingFor, oldValidUntil?}; times are RFC 3339
 * - `POST /v1/ca/rotate` -> the same: a new root is distributed, and issues once every connected proxy has it
 * - `POST /v1/ca/retire` {force?} -> the same: the old root is not trusted any more
 */
export function authorityRoutes(driver: RotationDriver, report: (error: unknown) => void = () => {}): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError((error, c) =>
    respondToError(report)(error instanceof RotationError ? new ApiError(409, 'Conflict', error.message) : error, c),
  );
  app.get('/v1/ca', permission('get', 'certificateauthorities'), (c) => c.json(shown(driver.show())));
  app.post('/v1/ca/rotate', permission('create', 'certificateauthorities/rotate'), async (c) =>
    c.json(shown(await driver.rotate())),
  );
  app.post('/v1/ca/retire', permission('create', 'certificateauthorities/retire'), async (c) => {
    const { force = false } = await readRequest(c, RetireRequest, LIMITS);
    return c.json(shown(await driver.retire(force)));
  });
  return app;
}

const shown = ({ roots, oldValidUntil, ...rest }: CaShown) => ({
  ...rest,
  roots: roots.map((root) => ({ ...root, notAfter: rfc3339(root.notAfter) })),
  ...(oldValidUntil !== undefined && { oldValidUntil: rfc3339(oldValidUntil) }),
});
