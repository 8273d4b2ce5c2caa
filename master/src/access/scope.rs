//! Scopes: what somebody may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One kind of thing that somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at jobs, results, tables, slaves and metrics.
    Read,
    /// Also start, cancel and repair jobs, and change the rows of tables.
    Submit,
    /// Also delete jobs, create and drop tables, and see to keys.
    Admin,
    /// Be a slave, and nothing else.
    Join,
}

impl Scope {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::Read, Self::Submit, Self::Admin, Self::Join];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
            Self::Join => "join",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope: read, submit, admin and join are")]
pub struct NoScope(String);

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or_else(|| NoScope(text.to_owned()))
    }
}

/// A set of scopes. What a larger one includes is in it, too: `admin` is `submit`, and that is `read`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u8);

impl Scopes {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Whether what wants this scope is allowed.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether nothing is allowed.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().map(Self::from).fold(Self::NONE, Self::union)
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        let own = Self(scope.bit());
        match scope {
            Scope::Read | Scope::Join => own,
            Scope::Submit => own.union(Self::from(Scope::Read)),
            Scope::Admin => own.union(Self::from(Scope::Submit)),
        }
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<Scopes> for Vec<Scope> {
    /// The largest of those that include each other, and `join`.
    fn from(scopes: Scopes) -> Self {
        let largest = [Scope::Admin, Scope::Submit, Scope::Read]
            .into_iter()
            .find(|scope| scopes.allow(*scope));
        let join = scopes.allow(Scope::Join).then_some(Scope::Join);
        largest.into_iter().chain(join).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Vec::from(*self).into_iter().map(Scope::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_those_below_it_and_a_slave_is_only_that() {
        let admin = Scopes::from(Scope::Admin);
        assert!(admin.allow(Scope::Read) && admin.allow(Scope::Submit));
        assert!(!admin.allow(Scope::Join));
        let join = Scopes::from(Scope::Join);
        assert!(!join.allow(Scope::Read) && join.allow(Scope::Join));
        assert!(!Scopes::from(Scope::Submit).allow(Scope::Admin));
        assert!(Scopes::NONE.is_empty() && !Scopes::NONE.allow(Scope::Read));
    }

    #[test]
    fn what_is_written_of_a_set_reads_as_the_same_set() {
        for scopes in [vec![], vec![Scope::Read], vec![Scope::Admin, Scope::Join]] {
            let set = Scopes::from(scopes.clone());
            assert_eq!(Vec::from(set), scopes);
            let text = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<Scopes>(&text).unwrap(), set);
        }
        assert_eq!(Scopes::from(Scope::Submit).to_string(), "submit");
        assert_eq!("join".parse(), Ok(Scope::Join));
        assert!("root".parse::<Scope>().is_err());
    }
}
