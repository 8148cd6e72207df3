/** Refusals of access in the words of kube-apiserver. */
import { type Attributes, isResource } from '../../access/attributes.ts';
import { ApiError, type StatusDetails } from '../resources/status.ts';

/** The caller may not do this. @param reason more about it, as an error of the authorizer */
export function accessForbidden(user: string, attributes: Attributes, reason?: string): ApiError {
  const denied = inHtml(deniedMessage(user, attributes)) + (reason ? `: ${reason}` : '');
  if (!isResource(attributes)) return new ApiError(403, 'Forbidden', `forbidden: ${denied}`, {});
  const { group, resource, name } = attributes;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const details: StatusDetails = { ...(name && { name }), ...(group && { group }), kind: resource };
  const subject = name === '' ? qualified : `${qualified} "${name}"`;
  return new ApiError(403, 'Forbidden', `${subject} is forbidden: ${denied}`, details);
}

function deniedMessage(user: string, attributes: Attributes): string {
  const who = `User ${JSON.stringify(user)} cannot ${attributes.verb}`;
  if (!isResource(attributes)) return `${who} path ${JSON.stringify(attributes.path)}`;
  const { group, resource, subresource, namespace } = attributes;
  const named = JSON.stringify(subresource === '' ? resource : `${resource}/${subresource}`);
  const scope = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return `${who} resource ${named} in API group ${JSON.stringify(group)} ${scope}`;
}

/** As kube-apiserver does: the message may be shown by a browser. */
const inHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
