"""Names to make people up from."""

from __future__ import annotations

_GIVEN = """
Aaliyah Aditi Aiko Alejandro Amara Amir Ana Andre Anika Arthur Asha Beatriz Ben Bianca Bruno Camila Carlos Chen Chloe
Clara Daniel Darius Deepa Diego Elena Eli Emma Esther Fatima Felix Gabriel Grace Hannah Hassan Henry Imani Ines Isaac
Ivan Jada James Jasmine Jonah Julia Kai Keiko Kofi Lars Laura Leila Liam Lucia Malik Maria Marcus Mei Miguel Mina Nadia
Naomi Nikhil Noah Nora Olga Omar Oscar Paula Pedro Priya Quinn Rachel Rafael Rania Ravi Rosa Ruth Samir Sara Sofia
Stella Tara Teresa Thomas Uma Valentina Victor Wei Yara Yusuf Zoe
"""
_FAMILY = """
Abbott Adeyemi Alvarez Andersson Bailey Banerjee Bauer Bianchi Brooks Campbell Castillo Chaudhry Cohen Cooper Costa Cruz
Dang Davis Delgado Diaz Dubois Edwards Eriksen Evans Farouk Fischer Flores Foster Garcia Gomez Grant Gupta Haddad Hayes
Hernandez Hoffman Hughes Ibrahim Iyer Jackson Jensen Johnson Kapoor Kaur Khan Kim Klein Kowalski Lee Lewis Lindgren
Lopez Mansour Martin Mehta Mensah Meyer Morgan Murphy Nakamura Nelson Nguyen Novak Okafor Oliveira Osman Park Patel
Perez Petrov Price Quintero Ramirez Reddy Rivera Roberts Rossi Russo Sanders Santos Sato Schmidt Sharma Silva Singh
Sullivan Suzuki Tanaka Taylor Torres Tran Turner Vargas Walker Wang Watson Wong Yilmaz Young Zhang
"""
GIVEN = _GIVEN.split()
FAMILY = _FAMILY.split()
