/** Rollouts over HTTP, for users: which there are, and what is decided by hand. */
import { type Context, Hono } from 'hono';
import * as z from 'zod';
import { stepText } from '../../rollout/conditions.ts';
import { findRollout, pause, promote, RolloutError, undo } from '../../rollout/decisions.ts';
import { isLive } from '../../rollout/rollout.ts';
import type { Rollout, Rollouts } from '../../rollout/rollouts.ts';
import { requirePermission, requireUser } from '../access/permission.ts';
import type { ApiEnv } from '../caller.ts';
import { ApiError, badRequest, respondToError } from '../resources/status.ts';
import { readJson } from '../server/read-json.ts';

const REQUEST = { bytes: 4096, timeoutMs: 10_000, depth: 4, values: 16 };
const Target = z.strictObject({
  kind: z.string().min(1).max(253),
  namespace: z.string().min(1).max(63),
  name: z.string().min(1).max(253),
  /** Of `promote`: into force for every proxy at once. */
  full: z.boolean().optional(),
});

export interface RolloutRoutesOptions {
  readonly rollouts: Rollouts;
  readonly report?: (error: unknown) => void;
}

/**
 * - `GET /v1/rollouts?namespace=` -> {rollouts}, the oldest first
 * - `POST /v1/rollouts/pause`, `/promote`, `/undo` {kind, namespace, name} -> the rollout as it is then; `promote` takes `full`
 */
export function rolloutRoutes({ rollouts, report = () => {} }: RolloutRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => respondToError(report)(refusal(error), c));

  app.get('/v1/rollouts', (c) => {
    const namespace = c.req.query('namespace');
    requirePermission(c, { verb: 'list', resource: 'rollouts', namespace });
    const found = rollouts.all().filter((each) => namespace === undefined || each.namespace === namespace);
    return c.json({ rollouts: found.map((each) => shown(each, rollouts)) });
  });

  const decide = (act: (rollout: Rollout, by: string, full: boolean) => void) => async (c: Context<ApiEnv>) => {
    const parsed = Target.safeParse(await readJson(c, REQUEST));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw badRequest(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
    }
    const { kind, namespace, name, full = false } = parsed.data;
    const { name: by } = requirePermission(c, { verb: 'create', resource: 'rollouts/decide', namespace });
    const before = findRollout(rollouts, kind, namespace, name);
    act(before, by, full);
    const after = rollouts.all().find(({ id }) => id === before.id);
    return c.json(after ? shown(after, rollouts) : { ...shown(before, rollouts), phase: 'Completed', reason: '' });
  };
  app.post(
    '/v1/rollouts/pause',
    requireUser,
    decide((rollout, by) => pause(rollouts, rollout, by)),
  );
  app.post(
    '/v1/rollouts/promote',
    requireUser,
    decide((rollout, by, full) => promote(rollouts, rollout, by, full)),
  );
  app.post(
    '/v1/rollouts/undo',
    requireUser,
    decide((rollout, by) => undo(rollouts, rollout, by)),
  );

  return app;
}

function shown(rollout: Rollout, rollouts: Rollouts) {
  const { kind, namespace, name, policy, phase, reason, began, step, steps, revision } = rollout;
  return {
    ...{ kind, namespace, name, policy, phase, reason, began },
    change: revision ? (rollout.stable ? 'update' : 'create') : 'delete',
    step: isLive(rollout) ? step + 1 : 0,
    steps: steps.length,
    ...(isLive(rollout) && { cohort: stepText(rollout) }),
    proxies: rollouts.reached(rollout),
  };
}

function refusal(error: Error): Error {
  if (!(error instanceof RolloutError)) return error;
  return error.code === 'not-found'
    ? new ApiError(404, 'NotFound', error.message)
    : new ApiError(409, 'Conflict', error.message);
}
