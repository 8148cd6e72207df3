/** What of the resources behind route forms has no effect: for the log, and for their status. */
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { generator } from '../memo.ts';
import type { Finding } from '../output/finding.ts';

/** Of all forms; the same findings for the same forms. */
export const routeFindings = generator<{ forms: readonly RouteForm[] }, readonly Finding[]>(
  { forms: true },
  ({ forms }) => forms.flatMap((form) => (form.withoutEffect.length > 0 ? ofForm({ form }) : [])),
);

const ofForm = generator<{ form: RouteForm }, readonly Finding[]>({ form: true }, ({ form }) =>
  form.withoutEffect.map((message) => ({ about: form.origin.resource, reason: 'RuleWithoutEffect', message })),
);
