/** `DELETE /v1/join`: a machine ends its own join. */
import { Hono } from 'hono';
import type { Joins } from '../ca/joins.ts';
import type { ApiEnv } from './caller.ts';
import { ApiError, respondToError } from './resources/status.ts';

export interface LeaveRoutesOptions {
  readonly joins: Pick<Joins, 'ofSerial' | 'revoke'>;
  readonly report: (error: unknown) => void;
}

/**
 * The caller is identified by its client certificate, and ends the join of that certificate alone -> {id}. Its certificates are
 * refused from then on, and not renewed. 401: no client certificate; 404: its join is not known.
 */
export function leaveRoutes({ joins, report }: LeaveRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(report));
  app.delete('/v1/join', async (c) => {
    const serial = c.env?.peerCertificate?.serial;
    if (serial === undefined)
      throw new ApiError(401, 'Unauthorized', 'give the certificate of the machine as client certificate');
    const join = joins.ofSerial(serial);
    if (!join) throw new ApiError(404, 'NotFound', 'the join of this certificate is not known here');
    await joins.revoke(join.id, 'the machine left the mesh');
    return c.json({ id: join.id });
  });
  return app;
}
