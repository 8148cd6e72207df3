/** Whether a namespace takes new content: it exists, and is not being deleted. */

import { kindKey } from '../../../../shared/resources/kind.ts';
import { isDeleting } from '../../../lifecycle/deletion.ts';
import type { ResourceStore } from '../../../store/store.ts';
import type { ResourceKinds, Target } from '../kinds.ts';
import { ApiError, notFound, pathNotFound } from '../status.ts';

/** @throws ApiError 404 no such namespace; 403 it is being deleted */
export async function mustTakeContent(store: ResourceStore, kinds: ResourceKinds, target: Target): Promise<void> {
  if (!target.kind.namespaced) return;
  const kind = kinds.kinds.find((each) => each.group === '' && each.kind === 'Namespace');
  if (!kind) throw pathNotFound();
  const namespace = await store.get({ group: '', plural: kind.plural, namespace: '', name: target.namespace });
  if (!namespace) throw notFound(kind, target.namespace);
  if (isDeleting(namespace)) throw beingTerminated(target);
}

function beingTerminated({ kind: { group, plural }, namespace, name }: Target): ApiError {
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const message = `${kindKey(group, plural)} "${name}" is forbidden: ${why}`;
  return new ApiError(403, 'Forbidden', message, {
    name,
    ...(group ? { group } : {}),
    kind: plural,
    causes: [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ],
  });
}
