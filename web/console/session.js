// Who is signed in: the key, for as long as this tab is open, and what the server says of it.

const PLACE = "fanfare.key";
let me = null;

/** The key; it leaves this tab only in the header of calls to this server. */
export const key = () => sessionStorage.getItem(PLACE);

/** What `GET /v1/me` said. */
export const whoAmI = () => me;

export function begin(newKey, about) {
  sessionStorage.setItem(PLACE, newKey);
  me = about;
}

export function end() {
  sessionStorage.removeItem(PLACE);
  me = null;
}

/** Whether the key may do what needs this scope. */
export const may = (scope) => Boolean(me?.scopes.includes(scope));

/** Why it may not, in words. */
export const whyNot = (scope) =>
  `This needs a key with the scope “${scope}”; yours has ${me?.scopes.join(", ") || "none"}.`;
