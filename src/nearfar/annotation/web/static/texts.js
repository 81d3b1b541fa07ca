// Texts come from the server (texts/LANGUAGE.toml), with places to fill in written {name}.

/** A function that gives the text of a key, its places filled in. A key that is not there is an error. */
export function texts(table) {
  return (key, values = {}) => {
    if (!(key in table)) throw new Error(`no text ${key}`);
    return table[key].replace(/\{(\w+)\}/g, (_, name) => {
      if (!(name in values)) throw new Error(`text ${key}: no ${name}`);
      return String(values[name]);
    });
  };
}

/** The text of a number of things: KEY_one for one of them, else KEY. */
export const counted = (t, key, count) => t(count === 1 ? `${key}_one` : key, { count });
